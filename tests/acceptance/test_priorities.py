"""Tasks of higher priority and of another type do not wait behind a flood, and TASK_LIMITS holds."""

import threading
import time
from collections.abc import Sequence

import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.provider_chat import ChatBody, chat_json
from tests.stubs.provider_faults import Fault

CALL_SECONDS = 0.3
GENERATIONS = 50


class CallsAtOnce:
    """A policy: each call takes its time, and the most of them at once are counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __call__(self, _: Sequence[str]) -> Fault | None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(CALL_SECONDS)
        with self._lock:
            self._now -= 1
        return None


def generation(place: int) -> dict[str, object]:
    """Every second in the other shape."""
    if place % 2:
        return {"type": "text-generation", "content": f"say {place}", "priority": 1}
    return {"type": "text-generation", "input_data": {"prompt": f"say {place}"}, "priority": 1}


@pytest.mark.slow  # the same in simulated time: test_fair_shares
def test_generations_do_not_wait_behind_a_flood_of_embeddings(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    provider.policy = embeddings = CallsAtOnce()
    started_at: list[float] = []

    def speak(body: ChatBody) -> bytes:
        started_at.append(time.monotonic())
        return chat_json(body, "hello")

    provider.speak = speak
    service = start_service(
        CONCURRENCY_LIMIT="4",
        BATCH_MAX_TASKS="20",
        GENERATION_MODEL="gpt-4o-mini",
        TASK_LIMITS='{"text_embedding": 3, "text-summary": 2}',
    )
    service.wait_until_ready(workers=4)
    task_api.add(1500)
    eventually(lambda: embeddings.most == 3 and service.status()["backlog"] > 200, what="embeddings wait")
    came_at = time.monotonic()
    task_api.add_bodies(*(generation(place) for place in range(GENERATIONS)))
    eventually(lambda: len(started_at) == GENERATIONS, what="all generations have started")
    assert started_at[-1] - came_at < 10.0
    assert task_api.open() > 500, "embeddings wait still"
    rows = {row["task_type"]: row for row in service.status()["task_types"]}
    assert (rows["text-embedding"]["limit"], rows["text-generation"]["limit"]) == (3, None)
    assert rows["text-embedding"]["waiting"] > 0
    assert embeddings.most == 3
    assert service.wait_for_log("task_limit_unused")["task_type"] == "text-summary"
    assert service.stop() == 0
