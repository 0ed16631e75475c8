"""The error object in the body of a provider's refusal."""

import re
from dataclasses import dataclass

import orjson

_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


@dataclass(frozen=True, slots=True)
class ApiError:
    """`{"error": {"message", "code", "type", "param"}}`, or the looser shapes other servers use."""

    message: str
    code: str = ""
    type: str = ""
    param: str = ""

    @classmethod
    def parse(cls, content: bytes) -> "ApiError | None":
        """None when `content` is no JSON object that says what went wrong."""
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            return None
        error = body.get("error", body) if isinstance(body, dict) else None
        if isinstance(error, str):
            return cls(message=error) if error.strip() else None
        if not isinstance(error, dict):
            return None
        message = _text(error.get("message")) or _text(error.get("detail"))
        if not message:
            return None
        return cls(message, _text(error.get("code")), _text(error.get("type")), _text(error.get("param")))

    @property
    def says_quota_is_gone(self) -> bool:
        return self.code in _QUOTA_CODES or self.type in _QUOTA_CODES

    def names_model(self, model: str) -> bool:
        """Is it the model that is not there, rather than the address?"""
        named = re.search(rf"(?<!\w){re.escape(model)}(?!\w)", self.message)
        return bool(named) or "model" in f"{self.message} {self.code} {self.param}".lower()


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
