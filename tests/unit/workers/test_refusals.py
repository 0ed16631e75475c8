"""What real providers and gateways answer, and what is to be done: a row a condition."""

# ruff: noqa: E501  a table is read a row a line

import orjson
import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.provider_accounts import OPENAI, ProviderAccount
from workers.providers.openai.api_error import ApiError
from workers.providers.openai.errors import OpenAIErrors
from workers.providers.openai.refusals import Next, RefusedCall, refusal_in_success

MODEL = "bge-m3"
OPENAI_ACCOUNT = ProviderAccount(OPENAI)
HELD_KEY, HELD_QUOTA, HELD_URL = RetryReason.UNAUTHORIZED, RetryReason.QUOTA, RetryReason.WRONG_URL
FAILED, BAD, PACE = RetryReason.SERVER_ERROR, RetryReason.BAD_RESPONSE, RetryReason.RATE_LIMIT
INPUT, UNIT, MODEL_OR_ADDRESS = Blame.SOME_TASKS, Blame.WHOLE_UNIT, Blame.MODEL_OR_ADDRESS


def openai_error(
    message: str, *, code: object = None, kind: str = "invalid_request_error", param: str | None = None
) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def body_of(value: object) -> bytes:
    return orjson.dumps(value)


def page(title: str) -> bytes:
    return f"<!doctype html><html><head><title>{title}</title></head><p>no such model</p></html>".encode()


def errors(proxy: str = "", account: ProviderAccount = OPENAI_ACCOUNT) -> OpenAIErrors:
    return OpenAIErrors(
        base_url="https://provider.example/v1",
        key="sk-the-key-0123456789",
        timeout_seconds=60.0,
        wall_clock=lambda: 0.0,
        proxy=proxy,
        account=account,
    )


def classified(status: int, body: bytes, *, dimensions: int | None = None, proxy: str = "") -> TaskError:
    return errors(proxy).of_refusal(RefusedCall(status, ApiError.parse(body), MODEL, dimensions))


def next_of(error: TaskError) -> Next:
    if isinstance(error, RetryableError):
        return error.reason
    assert isinstance(error, NonRetryableError)
    return error.blame


QUOTA = [
    ("openai: quota", 429, openai_error("You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota", kind="insufficient_quota"), HELD_QUOTA),
    ("openai: hard limit", 400, openai_error("Billing hard limit has been reached", code="billing_hard_limit_reached"), HELD_QUOTA),
    ("openai: billing inactive", 429, openai_error("Your account is not active, please check your billing details", code="billing_not_active"), HELD_QUOTA),
    ("quota said without a code", 429, openai_error("You exceeded your current quota, please check your plan."), HELD_QUOTA),
    ("anthropic: credit", 400, openai_error("Your credit balance is too low to access the API. Please go to Plans & Billing."), HELD_QUOTA),
    ("anthropic: usage limit", 400, openai_error("You have reached your specified API usage limits. You will regain access on 2027-01-01."), HELD_QUOTA),
    ("litellm: budget, 400", 400, openai_error("ExceededBudget: User=u over budget. Spend=2.0, Budget=1.0", kind="budget_exceeded", code="400"), HELD_QUOTA),
    ("litellm: budget, 429", 429, openai_error("Budget has been exceeded! Current cost: 2.0, Max budget: 1.0", code="429"), HELD_QUOTA),
    ("openrouter: credits", 402, body_of({"error": {"message": "Insufficient credits. Add more.", "code": 402}}), HELD_QUOTA),
    ("openrouter: key limit", 403, body_of({"error": {"message": "Key limit exceeded (total limit).", "code": 403}}), HELD_QUOTA),
    ("deepseek", 402, openai_error("Insufficient Balance", kind="unknown_error"), HELD_QUOTA),
    ("siliconflow", 403, body_of({"code": 30001, "message": "Sorry, your account balance is insufficient"}), HELD_QUOTA),
    ("moonshot", 429, openai_error("Your account is suspended", kind="exceeded_current_quota_error"), HELD_QUOTA),
    ("dashscope", 400, openai_error("Access denied, please make sure your account is in good standing.", code="Arrearage"), HELD_QUOTA),
    ("fireworks", 412, body_of({"error": "Account x is suspended, possibly due to reaching the monthly spending limit"}), HELD_QUOTA),
    ("hugging face", 402, body_of({"error": "You have exceeded your monthly included credits"}), HELD_QUOTA),
    ("payment, no body", 402, b"", HELD_QUOTA),
    ("groq: spend alert", 400, openai_error("API usage has been blocked by spend alert", code="blocked_api_access"), HELD_QUOTA),
    ("quota under a status of the server", 500, openai_error("quota", code="insufficient_quota"), HELD_QUOTA),
]  # fmt: skip

KEY = [
    ("openai: key", 401, openai_error("Incorrect API key provided: sk-ab***yz.", code="invalid_api_key"), HELD_KEY),
    ("a page asks to log in", 401, page("Log in"), HELD_KEY),
    ("key said with 400", 400, openai_error("Incorrect API key provided", code="invalid_api_key"), HELD_KEY),
    ("gemini: key", 400, body_of([{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}]), HELD_KEY),
    ("gemini: expired", 400, body_of({"error": {"code": 400, "message": "API key expired. Please renew the API key."}}), HELD_KEY),
    ("gateway: key missing", 400, body_of({"detail": "Missing API key"}), HELD_KEY),
    ("403: key", 403, body_of({"message": "Forbidden"}), HELD_KEY),
    ("country", 403, openai_error("Country, region, or territory not supported", code="unsupported_country_region_territory", kind="request_forbidden"), HELD_KEY),
    ("network rule", 403, body_of({"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}), HELD_KEY),
    ("key restricted to other addresses", 403, openai_error("Your IP address is not authorized", code="ip_not_authorized"), HELD_KEY),
    ("firewall page", 403, page("Attention Required!"), HELD_KEY),
    ("403 in plain text", 403, b"Forbidden", HELD_KEY),
    ("403, no body", 403, b"", HELD_KEY),
    ("legal reasons", 451, openai_error("not in this country"), HELD_KEY),
]  # fmt: skip

URL = [
    ("nginx: nothing here", 404, page("404 Not Found"), HELD_URL),
    ("go: nothing here", 404, b"404 page not found", HELD_URL),
    ("404, no body", 404, b"", HELD_URL),
    ("openai: unknown path", 404, openai_error("Invalid URL (POST /embeddings)"), HELD_URL),
    ("express: unknown path", 404, body_of({"message": "Cannot POST /embeddings"}), HELD_URL),
    ("405", 405, body_of({"detail": "Method Not Allowed"}), HELD_URL),
    ("410 as a page", 410, page("Gone"), HELD_URL),
    ("redirect", 307, b"", HELD_URL),
    ("redirect with a body", 302, openai_error("moved"), HELD_URL),
    ("http to a https port", 400, page("400 The plain HTTP request was sent to HTTPS port"), HELD_URL),
    ("go: http to a https port", 400, b"Client sent an HTTP request to an HTTPS server.", HELD_URL),
]  # fmt: skip

LATER = [
    ("openai: rate", 429, openai_error("Rate limit reached for requests", code="rate_limit_exceeded", kind="requests"), PACE),
    ("azure: rate, with the word quota", 429, body_of({"error": {"code": "429", "message": "Requests have exceeded call rate limit of your current tier. Please retry after 7 seconds. Go to https://aka.ms/oai/quotaincrease"}}), PACE),
    ("gemini: rate, with the word quota", 429, body_of([{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 37.6s.", "status": "RESOURCE_EXHAUSTED"}}]), PACE),
    ("vertex: rate, with the word quota", 429, body_of({"error": {"code": 429, "message": "Quota exceeded for online_prediction_requests_per_minute"}}), PACE),
    ("voyage: reduced rate", 429, body_of({"detail": "You have not yet added your payment method and have reduced rate limits of 3 RPM"}), PACE),
    ("rate said with 400", 400, openai_error("Too many", code="ThrottlingException"), PACE),
    ("rate said with 403", 403, openai_error("slow down", code="rate_limit_exceeded"), PACE),
    ("rate as a page", 429, page("429 Too Many Requests"), PACE),
    ("rate, no body", 429, b"", PACE),
    ("500", 500, openai_error("The server had an error", kind="server_error"), FAILED),
    ("502 as a page", 502, page("502 Bad Gateway"), FAILED),
    ("503 that speaks of a model", 503, openai_error("The model is overloaded and not available"), FAILED),
    ("504, no body", 504, b"", FAILED),
    ("529", 529, openai_error("Overloaded", kind="overloaded_error"), FAILED),
    ("408", 408, b"", FAILED),
    ("409", 409, openai_error("conflict"), FAILED),
    ("425", 425, b"", FAILED),
    ("groq: capacity", 498, openai_error("Flex tier capacity exceeded"), FAILED),
    ("a page for a client error", 400, page("Your request was blocked"), BAD),
    ("a page for 418", 418, page("I'm a teapot"), BAD),
    ("proxy wants a password", 407, b"", RetryReason.CONNECTION),
]  # fmt: skip

MODELS = [
    ("openai: model", 404, openai_error("The model `bge-m3` does not exist or you do not have access to it.", code="model_not_found"), UNIT),
    ("openai: model of the project", 403, openai_error("Project `p` does not have access to model `bge-m3`", code="model_not_found"), UNIT),
    ("ollama", 404, openai_error('model "bge-m3" not found, try pulling it first', kind="api_error"), UNIT),
    ("vllm", 404, body_of({"object": "error", "message": "The model `bge-m3` does not exist.", "type": "NotFoundError", "code": 404}), UNIT),
    ("azure: deployment", 404, body_of({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}), UNIT),
    ("gemini: model", 404, body_of([{"error": {"code": 404, "message": "models/bge-m3 is not found for API version v1main", "status": "NOT_FOUND"}}]), UNIT),
    ("model in plain text", 404, b"model not found: bge-m3", UNIT),
    ("only its name", 404, body_of({"error": "no such thing: bge-m3"}), UNIT),
    ("openai: chat model", 404, openai_error("This is a chat model and not supported in the v1/embeddings endpoint."), UNIT),
    ("openrouter", 400, body_of({"error": {"message": "bge-m3 is not a valid model ID", "code": 400}}), UNIT),
    ("litellm: model", 400, openai_error("Invalid model name passed in model=bge-m3. Call `/v1/models`", code="400"), UNIT),
    ("litellm: model of the key", 401, openai_error("key not allowed to access model", kind="key_model_access_denied", code="401"), UNIT),
    ("mistral", 400, body_of({"object": "error", "message": "Invalid model: bge-m3", "type": "invalid_model", "code": "1500"}), UNIT),
    ("deepseek", 400, openai_error("Model Not Exist"), UNIT),
    ("model as a parameter", 422, body_of({"detail": [{"loc": ["body", "model"], "msg": "not one of those served", "type": "value_error"}]}), UNIT),
    ("does not embed", 400, body_of({"error": "this model does not support embeddings"}), UNIT),
    ("azure: operation", 400, body_of({"error": {"code": "OperationNotSupported", "message": "The embeddings operation does not work with the specified model"}}), UNIT),
    ("404 that does not say what", 404, body_of({"error": {"code": "404", "message": "Resource not found"}}), MODEL_OR_ADDRESS),
    ("fastapi: 404", 404, body_of({"detail": "Not Found"}), MODEL_OR_ADDRESS),
    ("410 that does not say what", 410, body_of({"error": "gone"}), MODEL_OR_ADDRESS),
]  # fmt: skip

INPUTS = [
    ("input", 400, openai_error("'$.input' is invalid."), INPUT),
    ("too long for the model", 400, openai_error("This model's maximum context length is 8192 tokens, however you requested 9000 tokens."), INPUT),
    ("model and input in two clauses", 400, openai_error("The input exceeds what the model takes, which is not allowed."), INPUT),
    ("model and input in two sentences", 400, openai_error("The model took 3 texts. One is not supported."), INPUT),
    ("gateway without a database", 400, openai_error("No connected db.", kind="no_db_connection", code="400"), INPUT),
    ("too large", 413, openai_error("Request too large", code="rate_limit_exceeded", kind="tokens"), INPUT),
    ("too large, as a page", 413, page("413 Request Entity Too Large"), INPUT),
    ("fastapi", 422, body_of({"detail": [{"loc": ["body", "input", 0], "msg": "too long", "type": "value_error"}]}), INPUT),
    ("tei: batch", 422, body_of({"error": "batch size 100 > maximum allowed batch size 32", "type": "Validation"}), INPUT),
    ("moderation", 403, body_of({"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged"}}), INPUT),
    ("a text in quotes that speaks of credits", 400, body_of({"error": 'invalid input: "I have insufficient credits, says he"'}), INPUT),
    ("a text in quotes that speaks of a model", 400, body_of({"error": "bad text 'an unknown model of a 1970 car'"}), INPUT),
    ("a text in quotes that speaks of a key", 422, body_of({"error": "bad text `invalid api key`"}), INPUT),
    ("400, no body", 400, b"", INPUT),
    ("400 in plain text", 400, b"Bad Request", INPUT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(*row[1:], id=row[0])
        for table in (QUOTA, KEY, URL, LATER, MODELS, INPUTS)
        for row in table
    ],
)
def test_each_refusal_is_met_as_it_should_be(status: int, body: bytes, expected: Next) -> None:
    assert next_of(classified(status, body)) is expected


def test_dimensions_that_the_model_does_not_offer_are_no_matter_of_one_text() -> None:
    body = openai_error("This model does not support specifying dimensions.", param="dimensions")
    error = classified(400, body, dimensions=128)
    assert next_of(error) is UNIT
    assert "refuses 128 dimensions" in str(error)


def test_dimensions_that_were_not_asked_for_are_not_blamed() -> None:
    assert next_of(classified(400, openai_error("too many dimensions in the input"))) is INPUT


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, page("404 Not Found"), 'check OPENAI_BASE_URL: 404, a web page: "404 Not Found"'),
        (403, page("Attention Required!"), 'the account and the network: 403, a web page: "Attention'),
        (502, page("502 Bad Gateway"), 'the provider failed: 502, a web page: "502 Bad Gateway"'),
        (
            401,
            openai_error("no key"),
            "https://provider.example/v1 refuses this service, check OPENAI_API_KEY",
        ),
        (400, b"", "status 400 without a reason"),
        (400, b"  Bad\r\nRequest ", "400, Bad Request"),
        (400, b"{}", "400, {}"),
        (404, openai_error("gone", code="model_not_found"), 'the provider has no model "bge-m3"'),
    ],
)
def test_the_message_says_what_happened_and_where_to_look(status: int, body: bytes, words: str) -> None:
    assert words in str(classified(status, body))


@pytest.mark.parametrize("body", [page("Unable to connect"), b"Bad Gateway", b""])
def test_what_may_be_a_proxys_own_trouble_names_the_proxy(body: bytes) -> None:
    error = classified(503, body, proxy="http://proxy.example:3128")
    assert "through the proxy http://proxy.example:3128" in str(error)


def test_a_proxy_that_wants_a_password_is_named() -> None:
    assert "the proxy http://proxy.example:3128 refuses" in str(
        classified(407, b"", proxy="http://proxy.example:3128")
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "slow down", "code": 429}, PACE),
        ({"message": "slow down", "code": "429"}, PACE),
        ({"message": "slow down", "type": "rate_limit_error"}, PACE),
        ({"message": "slow down", "status": "RESOURCE_EXHAUSTED"}, PACE),
        ({"message": "Provider returned error", "code": 502}, FAILED),
        ({"message": "Insufficient credits", "code": 402}, HELD_QUOTA),
        ({"message": "You exceeded your current quota", "code": None}, HELD_QUOTA),
        ({"message": "wrong", "type": "authentication_error"}, HELD_KEY),
        ({"message": "Invalid API key"}, HELD_KEY),
        ({"message": "The model `bge-m3` does not exist"}, UNIT),
        ({"message": "too long", "type": "invalid_request_error"}, INPUT),
        ({"message": "too long", "code": 400}, INPUT),
        ({"message": "Unexpected endpoint or method. (POST /embeddings)"}, HELD_URL),
        ({"message": "who knows"}, FAILED),
        ({"message": "who knows", "code": 7}, FAILED),
        ("who knows", FAILED),
    ],
)
def test_an_error_with_a_status_of_success_is_the_error_it_says_it_is(error: object, expected: Next) -> None:
    found = ApiError.find({"error": error})
    assert found is not None
    told = errors().of_refusal(refusal_in_success(found, MODEL, None, {}))
    assert next_of(told) is expected
    assert "with a status of success, " in str(told)
    assert found.message in str(told)


@pytest.mark.parametrize(
    ("status", "body", "setting"),
    [
        (401, openai_error("no"), "PROVIDERS__OLLAMA__API_KEY"),
        (404, page("404 Not Found"), "PROVIDERS__OLLAMA__BASE_URL"),
    ],
)
def test_words_name_the_setting_of_the_provider_that_refuses(status: int, body: bytes, setting: str) -> None:
    account = ProviderAccount("ollama")
    error = errors(account=account).of_refusal(RefusedCall(status, ApiError.parse(body), MODEL, None))
    assert f"check {setting}" in str(error)
    assert "OPENAI" not in str(error)
