"""`.env.example` says what the settings are, each once, with the default that it has."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from shared.setting_values import is_placeholder
from tests.builders import SETTINGS

CHECKOUT = Path(__file__).resolve().parents[3]
ASSIGNMENT = re.compile(r"^(# )?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
REQUIRED = {"API_BASE_URL", "OPENAI_API_KEY"}


def example() -> list[tuple[bool, str, str]]:
    """Whether it is commented out, the name, the value."""
    text = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    return [(bool(mark), name, value) for mark, name, value in ASSIGNMENT.findall(text)]


def test_every_setting_stands_in_it_exactly_once() -> None:
    names = sorted(name for _, name, _ in example())
    assert names == sorted(field.upper() for kind in SETTINGS for field in kind.model_fields)


def test_only_what_must_be_set_is_not_commented_out() -> None:
    assert {name for commented, name, _ in example() if not commented} == REQUIRED


def test_the_key_in_it_counts_as_missing() -> None:
    values = {name: value for _, name, value in example()}
    assert is_placeholder(values["OPENAI_API_KEY"])


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for commented, name, value in example() if commented]
)
def test_value_shown_is_the_default(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _, other, _ in example():
        monkeypatch.delenv(other, raising=False)
    required = {"api_base_url": "http://127.0.0.1", "openai_api_key": SecretStr("sk-x")}
    kind = next(kind for kind in SETTINGS if name.lower() in kind.model_fields)
    field = kind.model_fields[name.lower()]
    default = field.get_default(call_default_factory=True)
    assert default is not PydanticUndefined
    if not value:
        assert default is None
        return
    shown = kind.model_validate({**required, name.lower(): value})
    assert getattr(shown, name.lower()) == default
