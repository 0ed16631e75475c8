"""What `run.py processors` says of providers."""

from pathlib import Path

import pytest

from supervisor.console.processors_command import run_processors
from supervisor.runtime.process import ExitCode


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVIDERS__OLLAMA__API_KEY", "sk-never-shown-1")
    monkeypatch.setenv("PROVIDERS__OLLAMA__BASE_URL", "http://127.0.0.1:9/v1")
    return []


def test_providers_are_listed_with_their_kind_and_address(said: list[str]) -> None:
    assert run_processors(said.append) is ExitCode.DRAINED
    assert "provider ollama  kind openai at http://127.0.0.1:9/v1" in said
    assert "never-shown" not in "".join(said)


def test_kind_that_cannot_be_used_is_named_and_the_exit_code_says_so(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDERS__ACME__KIND", "acme")
    assert run_processors(said.append) is ExitCode.UNEXPECTED
    assert said[-1].startswith('BROKEN  providers of kind acme: there is no kind "acme"')
