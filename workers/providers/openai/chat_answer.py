"""The JSON of a chat answer, read without trust."""

from collections.abc import Mapping, Sequence

from shared.errors import RetryableError, RetryReason
from shared.models import Usage
from workers.providers.base import bad_answer
from workers.providers.chat import WANTS_TOOLS, ChatAnswer
from workers.providers.openai.answer import model_name, tokens
from workers.providers.openai.api_error import ApiError

MAX_TEXT_CHARACTERS = 8_000_000
MAX_REASON_CHARACTERS = 100
BROKEN_OFF = frozenset({"error", "abort", "aborted", "cancelled", "insufficient_system_resource"})
"""`finish_reason` of an answer that the server could not end: it may do so the next time."""
_TEXT_PARTS = frozenset({"text", "output_text"})
_ERROR_NAMES = ("detail", "msg", "errorMessage")
_SHOWN_CHARACTERS = 200

Fields = Mapping[str, object]


def parse_chat(body: Fields, model: str) -> ChatAnswer:
    """The first choice. `model` is the name asked for, reported where the answer names none.

    Raises RetryableError(BAD_RESPONSE) where there is no answer in it.
    """
    choice = _first_choice(body)
    said = choice.get("message")
    message: Fields = said if isinstance(said, dict) else {}
    content = message.get("content", choice.get("text"))
    reason = choice.get("finish_reason")
    reason = reason[:MAX_REASON_CHARACTERS] if isinstance(reason, str) else ""
    if reason.lower() in BROKEN_OFF:
        what = f'the provider broke the answer off (finish_reason "{reason}")'
        raise RetryableError(what, reason=RetryReason.SERVER_ERROR)
    if not message and content is None:
        raise bad_answer("its first choice has no message")
    return ChatAnswer(
        text=_text(content),
        model=model_name(body.get("model")) or model,
        finish_reason=reason,
        refusal=_refusal(message.get("refusal")) or _refusal_part(content),
        wants_tools=any(message.get(name) for name in WANTS_TOOLS),
        usage=parse_usage(body.get("usage")),
    )


def error_in_chat(body: Fields) -> ApiError | None:
    """The error that an answer with a status of success holds in place of a text, or of its first choice."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    choice: Fields = first if isinstance(first, dict) else {}
    message = choice.get("message")
    if isinstance(message, dict) and message.get("content"):
        return None
    holder = next((each for each in (body, choice) if _is_error(each)), None)
    return None if holder is None else ApiError.find(holder)


def _is_error(fields: Fields) -> bool:
    return bool(fields.get("error") or fields.get("errors") or fields.get("object") == "error")


def parse_usage(value: object) -> Usage:
    """Tokens by kind, under the names that servers give them. 0 where the answer does not say."""
    fields: Fields = value if isinstance(value, dict) else {}
    of_prompt = _object(fields, "prompt_tokens_details", "input_tokens_details")
    of_completion = _object(fields, "completion_tokens_details", "output_tokens_details")
    prompt = _first_tokens(fields, "prompt_tokens", "input_tokens")
    completion = _first_tokens(fields, "completion_tokens", "output_tokens")
    cached = _first_tokens(of_prompt, "cached_tokens") or _first_tokens(fields, "prompt_cache_hit_tokens")
    reasoning = _first_tokens(of_completion, "reasoning_tokens") or _first_tokens(fields, "reasoning_tokens")
    return Usage(
        prompt_tokens=prompt,
        total_tokens=tokens(fields.get("total_tokens")) or prompt + completion,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
    )


def _first_choice(body: Fields) -> Fields:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    if isinstance(choices, list):
        raise bad_answer('its list "choices" is empty' if not choices else "its first choice is no object")
    # Only words of an error: what else it holds may be a model's.
    said = ApiError.find({name: body[name] for name in _ERROR_NAMES if body.get(name)})
    words = said.message if said else "the fields " + ", ".join(sorted(body))
    raise bad_answer(f'it has no list "choices", but {words[:_SHOWN_CHARACTERS] or "nothing"}')


def _text(content: object) -> str | None:
    """A text, or the texts of a list of parts: some servers put the reasoning into a part of its own."""
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        content = "".join(_text_of_part(part) for part in content)
    if not isinstance(content, str):
        return None
    if len(content) > MAX_TEXT_CHARACTERS:
        raise bad_answer(f"its text has more than {MAX_TEXT_CHARACTERS:,} characters")
    try:
        content.encode()
    except UnicodeEncodeError:  # a lone surrogate: no character, and no JSON can hold it
        return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return content


def _text_of_part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in _TEXT_PARTS:
        return ""
    text = part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else ""


def _refusal(value: object) -> str:
    return value.strip()[:MAX_TEXT_CHARACTERS] if isinstance(value, str) else ""


def _refusal_part(content: object) -> str:
    parts: Sequence[object] = content if isinstance(content, list) else ()
    refusals = (_refusal(part.get("refusal")) for part in parts if isinstance(part, dict))
    return next((refusal for refusal in refusals if refusal), "")


def _object(fields: Fields, *names: str) -> Fields:
    return next((value for name in names if isinstance(value := fields.get(name), dict)), {})


def _first_tokens(fields: Fields, *names: str) -> int:
    return next((number for name in names if (number := tokens(fields.get(name)))), 0)
