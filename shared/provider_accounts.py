"""PROVIDERS: further accounts at providers and further servers, each by a name of its own."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from shared.models import OPENAI_HOST, OPENAI_URL, FastPickle
from shared.setting_values import checked_secret, checked_url, is_placeholder, means_no_key

OPENAI = "openai"
"""The provider that the OPENAI_* settings describe, and the kind of every server that speaks its API."""
LOCAL = "local"
"""The provider, and the kind, of the model that comes with the service."""
LOCAL_MODEL = "wordllama-l2-supercat-256"
NESTED = "PROVIDERS__"
MAX_PROVIDERS = 50
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]|_(?!_)){0,38}")
_TAKEN: Mapping[str, str] = {
    OPENAI: "is the provider of the OPENAI_* settings",
    LOCAL: "is the embedded model",
    "api": "is the task API",
    "journal": "is the journal",
    "workers": "are the workers",
}
"""Names that mean something already, in metrics, logs and notices."""
EXAMPLE = '{"ollama": {"base_url": "http://host:11434/v1"}}'
FIELDS_EXAMPLE = '{"base_url": "http://host:11434/v1"}'


class ProviderFields(BaseModel):
    """What can be said of a provider in PROVIDERS."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = OPENAI
    """`openai`, or what a plug-in offers."""
    base_url: str | None = None
    api_key: SecretStr | None = None
    requests_per_minute: Annotated[int, Field(ge=0)] = 0
    tokens_per_minute: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _set(cls, given: object) -> object:
        """Names of fields in any case; an empty value counts as not set."""
        fields = {str(name).lower(): value for name, value in checked_object(given, FIELDS_EXAMPLE).items()}
        return {name: value for name, value in fields.items() if value not in ("", None)}

    @field_validator("kind", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return None if value is None else checked_url(value)

    @field_validator("api_key", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        """A key of digits alone is a number in JSON."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("api_key")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else checked_secret(value)

    @model_validator(mode="after")
    def _has_key(self) -> "ProviderFields":
        if self.kind != OPENAI or (self.base_url is not None and OPENAI_HOST not in self.base_url.lower()):
            return self
        key = self.api_key.get_secret_value() if self.api_key else ""
        if not key or is_placeholder(key) or means_no_key(key):
            raise ValueError(f"api_key is required for {OPENAI_HOST}; set it, or base_url for another server")
        return self


@dataclass(frozen=True, slots=True)
class ProviderAccount(FastPickle):
    """A provider as it is configured: which it is, where, and under which limits."""

    name: str
    kind: str = OPENAI
    base_url: str | None = None
    api_key: SecretStr | None = None
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    timeout_seconds: float = 60.0
    """For one call."""

    @property
    def address(self) -> str:
        """Where it is; empty where no address is known."""
        return self.base_url or (OPENAI_URL if self.kind == OPENAI else "")

    def setting(self, field: str) -> str:
        """The variable that sets a field of this provider: OPENAI_BASE_URL, PROVIDERS__NAME__BASE_URL."""
        return setting_of(self.name, field)


def setting_of(provider: str, field: str) -> str:
    """As `ProviderAccount.setting`, by the provider's name."""
    prefix = "OPENAI_" if provider == OPENAI else f"{NESTED}{provider.upper()}__"
    return f"{prefix}{field.upper()}"


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError with a sentence for the first name that cannot be one."""
    given = list(names)
    if len(given) > MAX_PROVIDERS:
        raise ValueError(f"has {len(given)} providers, and {MAX_PROVIDERS} are the most")
    for name in given:
        if why := _TAKEN.get(name):
            raise ValueError(f'has a provider named "{name}", which {why}; give it another name')
        if not _NAME.fullmatch(name):
            raise ValueError(
                "has a name of a provider that cannot be one: use a to z, digits, and - . _ between them,"
                " 39 characters at most"
            )


def read_json(text: str, what: str) -> dict[str, object]:
    """The JSON object in `text`. Raises ValueError with a sentence that repeats no value: it may be a key."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"has {twice[:60]!r} twice")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON (line {error.lineno}, column {error.colno}); write {what}") from None
    except RecursionError:
        raise ValueError(f"is no JSON that can be read; write {what}") from None
    return dict(checked_object(found, what))


def checked_object(found: object, what: str) -> Mapping[str, object]:
    """Raises ValueError with a sentence."""
    if not isinstance(found, Mapping):
        raise ValueError(f"must be a JSON object, such as {what}")  # noqa: TRY004  pydantic takes no TypeError for a fault
    return found


@dataclass(frozen=True, slots=True)
class GivenProviders:
    """PROVIDERS as it stands, and what variables such as PROVIDERS__OLLAMA__BASE_URL add to it."""

    whole: object
    nested: Mapping[str, Mapping[str, str]]

    def merged(self) -> dict[str, object]:
        """The fields by name. What a variable says of a field wins. Raises ValueError with a sentence."""
        whole = {} if self.whole in (None, "") else self.whole
        found = read_json(whole, EXAMPLE) if isinstance(whole, str) else checked_object(whole, EXAMPLE)
        merged: dict[str, object] = {}
        for given, fields in found.items():
            name = str(given).strip().lower()
            if name in merged:
                raise ValueError(f"has {name[:60]!r} twice")
            merged[name] = fields
        for name, fields in self.nested.items():
            own = dict(fields)
            before = checked_object(merged.get(name, {}), EXAMPLE)
            whole_of_it = read_json(own.pop("", "{}"), FIELDS_EXAMPLE)
            merged[name] = {
                field.lower(): value for each in (before, whole_of_it, own) for field, value in each.items()
            }
        check_names(merged)
        return merged


def nested(sources: Iterable[Mapping[str, str | None]]) -> dict[str, dict[str, str]]:
    """What variables such as PROVIDERS__OLLAMA__BASE_URL say, by provider and field; the first ones win.

    PROVIDERS__OLLAMA alone has all fields as JSON; it stands under an empty name.
    """
    found: dict[str, dict[str, str]] = {}
    for source in sources:
        for variable, value in source.items():
            if value and is_nested(variable):
                name, _, field = variable[len(NESTED) :].lower().partition("__")
                found.setdefault(name, {}).setdefault(field, value)
    return found


def is_nested(variable: str) -> bool:
    """Does it say something of one provider?"""
    return variable.upper().startswith(NESTED)
