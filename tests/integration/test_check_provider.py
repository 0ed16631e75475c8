"""What `check` says of a provider that a worker asks for one word."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.provider_accounts import LOCAL
from shared.routes import Routes
from shared.settings import Settings
from supervisor.console.preflight import provider as preflight
from supervisor.console.preflight.finding import Finding, Mark
from supervisor.console.preflight.provider import look_at_provider
from tests.stubs.provider import StubProvider
from tests.stubs.provider_faults import (
    Fault,
    forbidden,
    hang,
    html_not_found,
    model_not_found,
    quota_exhausted,
    rate_limited,
    refused,
    server_error,
    unauthorized,
)
from workers.factory import load_processors

pytestmark = pytest.mark.slow

KEY = "sk-check-key-77aa"
Look = Callable[..., Finding]


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dimensions=8) as provider:
        yield provider


@pytest.fixture
def look(provider: StubProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """`look(*models, **settings)`, where the tasks at the API ask for these models, at provider `name`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # the pool adds to it

    def look(*models: str, name: str = "", **settings: object) -> Finding:
        given = {
            "api_base_url": "http://127.0.0.1:9",
            "openai_base_url": provider.base_url,
            "openai_api_key": SecretStr(KEY),
        }
        validated = Settings.model_validate({**given, **settings})
        processors = load_processors("", Routes.from_settings(validated).models)
        asked = name or validated.embedding_provider
        return look_at_provider(validated, asked, processors, Counter(models))

    return look


def test_it_asks_one_word_for_the_default_model_and_says_what_it_costs(
    provider: StubProvider, look: Look
) -> None:
    finding = look()
    (call,) = provider.calls
    assert (len(call.texts), call.model) == (1, "text-embedding-3-small")
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert finding.mark is Mark.OK
    assert finding.text.startswith(
        f"{provider.base_url} embeds a word with text-embedding-3-small in 8 numbers"
    )
    assert finding.text.endswith("(costs 2 tokens)")


def test_it_asks_for_the_model_that_most_tasks_ask_for(provider: StubProvider, look: Look) -> None:
    look("nomic", "text-embedding-3-small", "nomic")
    assert [call.model for call in provider.calls] == ["nomic"]


@pytest.mark.parametrize(
    ("fault", "mark", "follows"),
    [
        (unauthorized(), Mark.FAILED, "all wait, and it is asked once a minute"),
        (quota_exhausted(), Mark.FAILED, "all wait, and it is asked once a minute"),
        (html_not_found(), Mark.FAILED, "no task is FAILED"),
        (server_error(), Mark.FAILED, "all wait, and it is asked again until it answers"),
        (refused(), Mark.FAILED, "all wait until it takes one word again"),
        (rate_limited(retry_after="1"), Mark.WARNING, "no task is FAILED"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_what_the_service_would_do_follows_the_words_of_the_provider(
    provider: StubProvider, look: Look, fault: Fault, mark: Mark, follows: str
) -> None:
    provider.script(fault)
    finding = look()
    assert finding.mark is mark, finding
    assert follows in finding.text
    assert KEY not in finding.text
    assert len(provider.calls) == 1


def test_a_model_that_tasks_ask_for_and_that_is_unknown_is_a_failure(
    provider: StubProvider, look: Look
) -> None:
    provider.policy = lambda _: model_not_found("nomic")
    wanted = look("nomic")
    assert wanted.mark is Mark.FAILED
    assert "tasks for this model are FAILED with these words" in wanted.text


@pytest.mark.parametrize("fault", [model_not_found("text-embedding-3-small"), forbidden()])
def test_a_default_model_that_is_refused_and_no_task_asks_for_is_a_warning(
    provider: StubProvider, look: Look, fault: Fault
) -> None:
    provider.script(fault)
    finding = look()
    assert finding.mark is Mark.WARNING
    assert finding.text.endswith("This is the model of tasks that name none")


def test_a_provider_that_never_answers_takes_no_longer_than_a_moment(
    provider: StubProvider, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "MAX_CALL_SECONDS", 0.3)
    provider.script(hang())
    finding = look()
    assert finding.mark is Mark.FAILED
    assert "within 0.3 s" in finding.text
    assert "the service waits for 60 s" in finding.text


def test_a_provider_that_is_not_there_is_said_to_be_waited_for(look: Look) -> None:
    finding = look(openai_base_url="http://127.0.0.1:9/v1")
    assert finding.mark is Mark.FAILED
    assert "no connection to http://127.0.0.1:9/v1" in finding.text
    assert "all wait" in finding.text


def test_the_embedded_model_is_loaded_and_asked(look: Look) -> None:
    finding = look(embedding_provider=LOCAL)
    assert finding.mark is Mark.OK
    assert finding.text == "wordllama-l2-supercat-256 embeds a word in 256 numbers, offline"


def test_each_provider_is_asked_for_a_model_of_its_own(provider: StubProvider, look: Look) -> None:
    settings = {
        "providers": {"first": {"base_url": provider.base_url}, "second": {"base_url": provider.base_url}},
        "model_routes": {"embed-*": "first", "exact": "second", "*": "first"},
    }
    finding = look("embed-9", name="first", **settings)
    assert (finding.mark, finding.subject) == (Mark.OK, "provider first")
    assert "embed-9" in finding.text
    assert "exact" in look(name="second", **settings).text
    finding = look(name="second", **{**settings, "model_routes": {"exact*": "second"}})
    assert (finding.mark, finding.subject) == (Mark.NOTE, "provider second")


def test_provider_whose_plugin_is_missing_is_named(provider: StubProvider, look: Look) -> None:
    kind = {"kind": "no-such-kind", "base_url": provider.base_url}
    finding = look(name="bad", providers={"bad": kind}, model_routes={"m": "bad"})
    assert (finding.mark, finding.subject) == (Mark.FAILED, "provider bad")
    assert finding.text.startswith('PROVIDERS__BAD__KIND: there is no kind "no-such-kind"')
