"""Two servers and the embedded model serve three task types at once; no trouble of one is another's."""

import time
from collections.abc import Iterator

import pytest

from examples.task_api.task import State, Task
from tests.acceptance.conftest import StartService
from tests.acceptance.service import API_TOKEN, ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.provider_faults import rate_limited, unauthorized
from tests.unit.docs.markdown import ROOT

LOCAL_MODEL = "wordllama-l2-supercat-256"
TASKS_EACH = 40
WORKERS = 3
RETRY_AFTER_SECONDS = 3.0
EMBED, GENERATE, COUNT = "text-embedding", "text-generation", "word-count"


@pytest.fixture
def first() -> Iterator[StubProvider]:
    with StubProvider(dimensions=8) as server:
        yield server


@pytest.fixture
def second() -> Iterator[StubProvider]:
    with StubProvider(dimensions=8) as server:
        yield server


@pytest.fixture
def service(
    launch: StartService, task_api: Peer, first: StubProvider, second: StubProvider
) -> ServiceProcess:
    """Without any key of OpenAI. Embeddings that name no model go to the embedded one."""
    started = launch(
        API_BASE_URL=task_api.url,
        API_TOKEN=API_TOKEN,
        EMBEDDING_PROVIDER="local",
        PROVIDERS__FIRST__BASE_URL=first.base_url,
        PROVIDERS__FIRST__API_KEY="sk-first-key-1",
        PROVIDERS__SECOND__BASE_URL=second.base_url,
        MODEL_ROUTES='{"embed-*": "first", "chat-*": "second"}',
        CONCURRENCY_LIMIT=str(WORKERS),
        PYTHONPATH=str(ROOT / "examples/plugins/word-count"),
        PROCESSORS="word_count:WordCountProcessor",
    )
    started.wait_until_ready(workers=WORKERS)
    return started


class Tasks:
    """Tasks of one type, for one model; None for those that name none."""

    def __init__(self, task_api: Peer, task_type: str, model: str | None) -> None:
        self._task_api = task_api
        text = "prompt" if task_type == GENERATE else "text"
        before = len(task_api.ids)
        for place in range(TASKS_EACH):
            given = {text: f"{text} {place} for {model}"} | ({} if task_type == COUNT else {"model": model})
            task_api.add_bodies({"type": task_type, "input_data": given})
        self._ids = set(task_api.ids[before:])

    @property
    def found(self) -> list[Task]:
        return [task for task in self._task_api.tasks() if task.id in self._ids]

    def are(self, state: State) -> bool:
        return all(task.state is state for task in self.found)


def providers_of(service: ServiceProcess) -> dict[str, tuple[str | None, int]]:
    """By name: why nothing goes to it, and how many tasks wait for it."""
    return {row["name"]: (row["blocked"], row["waiting"]) for row in service.status()["providers"]}


def test_three_providers_serve_at_once_while_one_is_on_hold_and_one_is_rate_limited(
    service: ServiceProcess, task_api: Peer, first: StubProvider, second: StubProvider
) -> None:
    first.policy = lambda _: unauthorized()
    began_at = time.monotonic()
    limit = rate_limited(retry_after=f"{RETRY_AFTER_SECONDS:g}")
    second.chat_policy = lambda _: limit if time.monotonic() < began_at + RETRY_AFTER_SECONDS else None
    held = Tasks(task_api, EMBED, "embed-1")
    limited = Tasks(task_api, GENERATE, "chat-1")
    local = Tasks(task_api, EMBED, None)
    counted = Tasks(task_api, COUNT, None)

    eventually(lambda: local.are(State.SUCCEEDED), what="the embedded model goes on")
    eventually(lambda: counted.are(State.SUCCEEDED), what="what needs no provider goes on")
    assert time.monotonic() - began_at < RETRY_AFTER_SECONDS
    assert all(f'"model":"{LOCAL_MODEL}"'.encode() in (task.output or b"") for task in local.found)
    assert not any(task.output for task in (*held.found, *limited.found))

    eventually(lambda: limited.are(State.SUCCEEDED), what="the second server is asked again")
    assert time.monotonic() - began_at >= RETRY_AFTER_SECONDS
    assert TASKS_EACH < len(second.chats) <= TASKS_EACH + WORKERS
    assert len(first.calls) <= WORKERS

    seen = {"first": ("provider_hold", TASKS_EACH), "second": (None, 0), "local": (None, 0)}
    eventually(lambda: seen.items() <= providers_of(service).items(), what="/status tells them apart")
    (hold,) = service.status()["holds"]
    assert (hold["provider"], hold["reason"]) == ("first", "unauthorized")
    assert service.not_ready() == ["provider_hold"]
    metrics = service.metrics()
    assert metrics.sum("ai_provider_hold", provider="first", reason="unauthorized") == 1
    assert metrics.sum("openai_requests_total", provider="second", status="ok") == TASKS_EACH

    other = Tasks(task_api, EMBED, "text-embedding-3-large")
    eventually(lambda: other.are(State.FAILED), what="no other model answers")
    (error,) = {task.error for task in other.found}
    assert error is not None
    assert error.startswith(f'the embedded model is {LOCAL_MODEL}, not "text-embedding-3-large"')
    assert "Traceback" not in service.output()
