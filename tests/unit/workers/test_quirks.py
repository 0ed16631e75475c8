"""Refusals in the words of real servers: which part of the request they do not know."""

import orjson
import pytest

from workers.providers.openai.api_error import ApiError
from workers.providers.openai.quirks import (
    MAX_COMPLETION_TOKENS,
    MAX_MODELS,
    MAX_TOKENS,
    LearnedQuirks,
    Quirks,
    SchemaSupport,
    is_about_this_schema,
    known_quirks,
    refused_parts,
)
from workers.providers.openai.refusals import RefusedCall

ALL = frozenset({"max_tokens", "temperature", "top_p", "response_format", "system"})
LIMIT = frozenset({"max_tokens"})
HEAT = frozenset({"temperature"})
FORMAT = frozenset({"response_format"})
SYSTEM = frozenset({"system"})
NONE: frozenset[str] = frozenset()


def openai_says(message: str, param: str | None = None, code: str | None = None) -> object:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal(status: int, body: object) -> RefusedCall:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return RefusedCall(status, ApiError.parse(content), "the-model")


UNSUPPORTED = [
    (
        "OpenAI",
        400,
        openai_says(
            "Unsupported parameter: 'max_tokens' is not supported with this model."
            " Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
        LIMIT,
    ),
    (
        "OpenAI, reasoning",
        400,
        openai_says(
            "Unsupported value: 'temperature' does not support 0.2 with this model."
            " Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
        HEAT,
    ),
    (
        "OpenAI, o3-mini",
        400,
        openai_says(
            "Unsupported parameter: 'temperature' is not supported with this model.",
            "temperature",
            "unsupported_parameter",
        ),
        HEAT,
    ),
    ("Azure", 400, openai_says("Unrecognized request argument supplied: max_tokens"), LIMIT),
    (
        "Azure, several",
        400,
        openai_says("Unrecognized request arguments supplied: max_tokens, top_p"),
        LIMIT | {"top_p"},
    ),
    (
        "OpenAI, an older model",
        400,
        openai_says(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
            " Learn more about supported models at the Structured Outputs guide:"
            " https://platform.openai.com/docs/guides/structured-outputs"
        ),
        FORMAT,
    ),
    (
        "DeepSeek",
        400,
        openai_says("This response_format type is unavailable now", None, "invalid_request_error"),
        FORMAT,
    ),
    (
        "DeepSeek, before",
        422,
        b"Failed to deserialize the JSON body into the target type: response_format: response_format.type"
        b" `json_schema` is unavailable now at line 1 column 1193",
        FORMAT,
    ),
    (
        "Groq",
        400,
        openai_says("'response_format.type' : value is not one of the allowed values ['text','json_object']"),
        FORMAT,
    ),
    ("Groq, a model", 400, openai_says("This model does not support response format `json_schema`."), FORMAT),
    (
        "Groq, a keyword",
        400,
        openai_says(
            "invalid schema for response format: response_format/json_schema/x: minItems is not supported"
        ),
        FORMAT,
    ),
    (
        "Groq, an answer",
        400,
        openai_says(
            "Failed to validate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
            None,
            "json_validate_failed",
        ),
        FORMAT,
    ),
    (
        "OpenAI, a schema",
        400,
        openai_says(
            "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required"
            " to be supplied and to be false.",
            "response_format",
        ),
        FORMAT,
    ),
    (
        "LM Studio",
        400,
        {"error": "'response_format.type' must be 'json_schema'"},
        FORMAT,
    ),
    (
        "vLLM, a schema",
        400,
        {
            "object": "error",
            "message": "The provided JSON schema contains features not supported by xgrammar.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        FORMAT,
    ),
    (
        "vLLM",
        400,
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_tokens'),"
            " 'msg': 'Extra inputs are not permitted', 'input': 800}]",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        LIMIT,
    ),
    (
        "Mistral",
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "max_tokens"],
                        "msg": "Extra inputs are not permitted",
                        "input": 32000,
                    }
                ]
            },
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
        LIMIT,
    ),
    (
        "FastAPI",
        422,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}
            ]
        },
        frozenset({"top_p"}),
    ),
    (
        "xAI",
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Argument not supported on this model: topP",
        },
        frozenset({"top_p"}),
    ),
    (
        "xAI, before",
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "The response_format parameter is unsupported at the moment. Leave it unset.",
        },
        FORMAT,
    ),
    (
        "LiteLLM",
        400,
        openai_says(
            "litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0.1. Only temperature=1"
            " is supported. To drop unsupported params set `litellm.drop_params = True`",
            None,
            "400",
        ),
        HEAT,
    ),
    (
        "LiteLLM, several",
        400,
        openai_says(
            "litellm.UnsupportedParamsError: bedrock does not support parameters: ['temperature', 'top_p'],"
            " for model=x. To drop these, set `litellm.drop_params=True`"
        ),
        HEAT | {"top_p"},
    ),
    ("Anthropic", 400, openai_says("`temperature` may only be set to 1 when thinking is enabled."), HEAT),
    ("Moonshot", 400, openai_says("invalid temperature: only 1 is allowed for this model"), HEAT),
    (
        "Bedrock",
        400,
        openai_says(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        ),
        HEAT | {"top_p"},
    ),
    ("a gateway", 400, openai_says("Please use 'max_completion_tokens' instead of 'max_tokens'."), LIMIT),
    (
        "Google",
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": 'Invalid JSON payload received. Unknown name "top_p": Cannot find field.',
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        frozenset({"top_p"}),
    ),
    (
        "Google, a schema",
        400,
        openai_says("Unknown name \"additionalProperties\" at 'generation_config.response_schema'"),
        FORMAT,
    ),
    (
        "DeepSeek, a role",
        422,
        b"Failed to deserialize the JSON body into the target type:"
        b" messages[0].role: unknown variant `developer`",
        SYSTEM,
    ),
    (
        "FastAPI, several",
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "max_tokens"],
                    "msg": "Extra inputs are not permitted",
                },
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "temperature"],
                    "msg": "Extra inputs are not permitted",
                },
            ]
        },
        LIMIT | HEAT,
    ),
    ("Anthropic, newer", 400, openai_says("`temperature` is deprecated for this model."), HEAT),
    (
        "DeepInfra",
        405,
        openai_says(
            "deepinfra error: json_schema response format is not supported for model: x", None, "405"
        ),
        FORMAT,
    ),
    (
        "o1-mini",
        400,
        openai_says(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
        SYSTEM,
    ),
    ("Gemma's template", 400, {"error": {"message": "System role not supported"}}, SYSTEM),
]


@pytest.mark.parametrize(
    ("status", "body", "named"), [row[1:] for row in UNSUPPORTED], ids=[row[0] for row in UNSUPPORTED]
)
def test_what_a_server_does_not_know_is_found(status: int, body: object, named: frozenset[str]) -> None:
    assert refused_parts(refusal(status, body), ALL) == named


OF_THE_TASK = [
    (
        "out of range",
        400,
        openai_says(
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
            "temperature",
            "decimal_above_max_value",
        ),
    ),
    (
        "too many tokens",
        400,
        openai_says(
            "max_tokens is too large: 6000. This model supports at most 4096 completion tokens,"
            " whereas you provided 6000.",
            "max_tokens",
            "invalid_value",
        ),
    ),
    ("a range", 400, openai_says("temperature must be between 0 and 2", "temperature")),
    ("another range", 400, openai_says("temperature must be 1 or less")),
    ("negative", 400, openai_says("temperature must be non-negative, got -1.0.")),
    (
        "no room to think",
        400,
        openai_says(
            "Could not finish the message because max_tokens or model output limit was reached."
            " Please try again with higher max_tokens."
        ),
    ),
    ("context length", 400, openai_says("This model's maximum context length is 8192 tokens.", "messages")),
    ("a text that is quoted", 400, openai_says('invalid prompt: "the word temperature is not supported"')),
    (
        "content filter",
        400,
        openai_says(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management"
            " policy.",
            "prompt",
            "content_filter",
        ),
    ),
    ("wrong key", 401, openai_says("temperature is not supported")),
    ("a page", 400, b"<html><title>max_tokens is not supported</title></html>"),
    ("server error", 500, openai_says("temperature is not supported")),
]


@pytest.mark.parametrize(
    ("status", "body"), [row[1:] for row in OF_THE_TASK], ids=[row[0] for row in OF_THE_TASK]
)
def test_other_refusals_name_no_part(status: int, body: object) -> None:
    assert refused_parts(refusal(status, body), ALL) == NONE


def test_only_what_was_sent_can_be_refused() -> None:
    said = refusal(
        400, openai_says("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    )
    assert refused_parts(said, {"temperature"}) == NONE


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Invalid schema for response_format 'answer': In context=(), 'required' is required", True),
        (
            "invalid schema for response format: response_format/json_schema/x: minItems is not supported",
            True,
        ),
        ("The provided JSON schema contains features not supported by xgrammar.", True),
        ("This model does not support response format `json_schema`.", False),
        ("This response_format type is unavailable now", False),
        ("'response_format.type' : value is not one of the allowed values ['text','json_object']", False),
    ],
)
def test_a_refusal_of_one_schema_is_none_of_schemas(message: str, expected: bool) -> None:
    assert is_about_this_schema(refusal(400, openai_says(message))) is expected


def test_a_refused_limit_goes_by_its_other_name() -> None:
    quirks = Quirks(token_limit=MAX_TOKENS).after_refusal_of({MAX_TOKENS, "temperature"}, None)
    assert quirks == Quirks(MAX_COMPLETION_TOKENS, SchemaSupport.STRICT, HEAT)


@pytest.mark.parametrize(
    ("asked", "next_asked"),
    [
        (SchemaSupport.STRICT, SchemaSupport.LOOSE),
        (SchemaSupport.LOOSE, SchemaSupport.PROMPT),
    ],
)
def test_a_refused_schema_is_asked_for_by_lesser_means(
    asked: SchemaSupport, next_asked: SchemaSupport
) -> None:
    assert Quirks().after_refusal_of(FORMAT, asked).schema is next_asked


@pytest.mark.parametrize(
    ("host", "limit"),
    [
        ("api.openai.com", MAX_COMPLETION_TOKENS),
        ("mine.openai.azure.com", MAX_COMPLETION_TOKENS),
        ("localhost", MAX_TOKENS),
        ("notapi.openai.com.evil.test", MAX_TOKENS),
        ("", MAX_TOKENS),
    ],
)
def test_what_is_known_of_a_server_goes_by_its_host(host: str, limit: str) -> None:
    assert known_quirks(host).token_limit == limit


def test_what_is_learned_of_one_model_holds_for_no_other_and_is_bounded() -> None:
    learned = LearnedQuirks(Quirks())
    other = Quirks(token_limit=MAX_COMPLETION_TOKENS)
    assert learned.learn("a", other)
    assert not learned.learn("a", other), "no news"
    assert learned.of("a") == other
    assert learned.of("b") == Quirks()
    for number in range(MAX_MODELS):
        learned.learn(f"model-{number}", other)
    assert learned.of("a") == Quirks(), "the oldest is forgotten"
