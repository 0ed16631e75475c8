"""What a provider's refusal says, whatever shape its body has."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

_MESSAGE_NAMES = (
    "message",
    "msg",
    "detail",
    "error",
    "errors",
    "error_message",
    "errormessage",
    "error_description",
    "fault",
    "faultstring",
    "description",
    "reason",
    "title",
)
_MAX_DEPTH = 6
_MAX_ITEMS = 3
_MAX_CHARACTERS = 2000
_BOM = b"\xef\xbb\xbf"
_TITLE = re.compile(r"<title[^>]*>(.{1,500}?)</title", re.IGNORECASE | re.DOTALL)
_NOT_SHOWN = re.compile(r"<(script|style)\b.*?</\1[^>]*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


class BodyKind(StrEnum):
    """What a refusal's body is, and so how far it speaks for the API."""

    API = "api"
    """A JSON object: the API, or a gateway that speaks its language."""
    TEXT = "text"
    PAGE = "page"
    """HTML or XML: a proxy, a firewall or a web server in front of the API."""
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class ApiError:
    """The words of a refusal. `code`, `type` and `param` are in lower case, and empty where not said."""

    message: str
    code: str = ""
    type: str = ""
    param: str = ""
    kind: BodyKind = BodyKind.API

    @classmethod
    def parse(cls, content: bytes) -> "ApiError":
        """The message is empty only where `content` is."""
        content = content.removeprefix(_BOM).strip()
        if not content:
            return cls("", kind=BodyKind.EMPTY)
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            return cls._of_text(content)
        error = cls.find(body)
        if error is not None:
            return error
        return cls(_words(body, 0) or _first_words(content), kind=BodyKind.TEXT)

    @classmethod
    def find(cls, body: object) -> "ApiError | None":
        """The error in a JSON `body`, which is an object, or a list that holds one as Google's does."""
        if isinstance(body, list) and body:
            body = body[0]
        if not isinstance(body, dict) or not body:
            return None
        inner = body.get("error")
        source = inner if isinstance(inner, dict) else body
        message = _words(source, 0) or _words(body, 0) or _shown(body)
        return cls(
            _with_upstream(message, source),
            code=_name(source.get("code")) or _name(source.get("status")) or _name(body.get("code")),
            type=_name(source.get("type")) or _name(body.get("type")),
            param=_name(source.get("param")) or _place(source.get("detail")),
        )

    @classmethod
    def _of_text(cls, content: bytes) -> "ApiError":
        if not content.startswith(b"<"):
            words = _first_words(content)
            return cls(words, kind=BodyKind.TEXT if words else BodyKind.EMPTY)
        text = content[: 4 * _MAX_CHARACTERS].decode("utf-8", "replace")
        title = _TITLE.search(text)
        shown = html.unescape(title.group(1) if title else _NOT_SHOWN.sub(" ", text))
        return cls(_one_line(shown) or "a page without text", kind=BodyKind.PAGE)

    @property
    def names(self) -> frozenset[str]:
        """The names it gives to what went wrong."""
        return frozenset({self.code, self.type}) - {""}


def _words(value: object, depth: int) -> str:
    """The first message within `value`, in whatever it is wrapped."""
    if isinstance(value, str):
        return _one_line(value)
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        parts = (_words(item, depth + 1) for item in value[:_MAX_ITEMS])
        return "; ".join(part for part in parts if part)
    if isinstance(value, dict):
        return _words_of_object(value, depth)
    return ""


def _words_of_object(value: Mapping[str, object], depth: int) -> str:
    fields = {name.lower(): field for name, field in value.items()}
    for name in _MESSAGE_NAMES:
        words = _words(fields.get(name), depth + 1)
        if words:
            place = _dotted(fields.get("loc"))
            return f"{place}: {words}" if place else words
    return ""


def _with_upstream(message: str, source: Mapping[str, object]) -> str:
    """OpenRouter keeps the words of the provider behind it in `metadata.raw`."""
    metadata = source.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{message}: {_one_line(raw)}" if isinstance(raw, str) and raw.strip() else message


def _place(detail: object) -> str:
    """The parameter that FastAPI's `detail` is about."""
    first = detail[0] if isinstance(detail, list) and detail else None
    location = first.get("loc") if isinstance(first, dict) else None
    names = [item for item in location if isinstance(item, str)] if isinstance(location, list) else []
    return _name(names[-1]) if names else ""


def _dotted(location: object) -> str:
    known = location if isinstance(location, Sequence) and not isinstance(location, str) else ()
    return ".".join(str(item) for item in known[:_MAX_DEPTH] if isinstance(item, str | int))


def _name(value: object) -> str:
    if isinstance(value, str):
        return value.strip().lower()[:100]
    return str(value) if type(value) is int and abs(value) < 10**9 else ""


def _shown(body: Mapping[str, object]) -> str:
    try:
        return _first_words(orjson.dumps(body))
    except TypeError:
        return _one_line("an object of " + ", ".join(list(body)[:_MAX_ITEMS]))


def _first_words(content: bytes) -> str:
    return _one_line(content[: 4 * _MAX_CHARACTERS].decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    return " ".join(text[: 4 * _MAX_CHARACTERS].split())[:_MAX_CHARACTERS]
