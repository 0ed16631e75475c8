"""10,000 embeddings wait and 50 generations come: how soon each of these starts, in simulated time."""

from collections.abc import Sequence

import pytest

from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.fakes.simulated_provider import Reply, SimulatedProvider

EMBEDDING_SECONDS = 3.0
GENERATION_SECONDS = 1.0
WORKERS = 25
GENERATIONS = [f"g{number}" for number in range(50)]


def answer(_: Sequence[str], model: str) -> Reply:
    return Reply(GENERATION_SECONDS if model == "chat" else EMBEDDING_SECONDS)


def flooded(tasks: int, workers: int, **settings: object) -> SimulatedProvider:
    """A service with so many embeddings of 40 models, all workers at work on them."""
    harness = Harness(make_settings(concurrency_limit=workers, **settings))
    harness.start_workers()
    provider = SimulatedProvider(harness, answer)
    for model in range(40):
        provider.add((f"e{model}-{number}" for number in range(tasks // 40)), f"m{model}")
    provider.work(1.0)
    assert len(harness.backlog) >= 0.7 * tasks
    return provider


def waited_seconds(provider: SimulatedProvider, came_at: float) -> list[float]:
    """How long each generation waited for its start, in the order in which they started."""
    return sorted(provider.started_at[name] - came_at for name in GENERATIONS)


@pytest.mark.parametrize(
    ("priority", "share"), [(0, WORKERS // 2), pytest.param(1, WORKERS, marks=pytest.mark.slow)]
)
def test_generations_start_with_the_first_free_slots_of_their_share(priority: int, share: int) -> None:
    """Of equal priority they have half of the slots, of a higher one all that become free."""
    provider = flooded(10_000, WORKERS)
    came_at = provider.harness.clock()
    provider.add_generations(GENERATIONS, priority=priority)
    while not provider.started_at.keys() >= set(GENERATIONS):
        provider.work(0.5)
        assert provider.harness.clock() < came_at + 20.0
    for place, seconds in enumerate(waited_seconds(provider, came_at)):
        a_slot_is_free_after = EMBEDDING_SECONDS + place // share * GENERATION_SECONDS
        assert seconds <= a_slot_is_free_after + 1.0
    assert len(provider.harness.backlog) > 1000, "embeddings waited all the while"


def test_embeddings_go_on_beside_a_flood_of_slow_generations() -> None:
    harness = Harness(make_settings(concurrency_limit=4))
    harness.start_workers()
    provider = SimulatedProvider(harness, lambda _, model: Reply(60.0 if model == "chat" else 0.5))
    provider.add_generations(f"g{number}" for number in range(300))
    provider.work(1.0)
    came_at = harness.clock()
    provider.add(f"e{number}" for number in range(1000))
    provider.work(80.0)
    started = [provider.started_at[f"e{number}"] - came_at for number in range(1000)]
    assert max(started) <= 60.0 + 5.0, "they have two of the four slots when the first generations end"


def test_limit_keeps_slots_free_for_what_comes() -> None:
    """Each generation starts with the next poll, since a slot is free for it."""
    provider = flooded(1000, 5, task_limits={"text-embedding": 3})
    waits: list[float] = []
    for prompt in GENERATIONS[:4]:
        came_at = provider.harness.clock()
        provider.add_generations([prompt])
        provider.work(1.5)
        waits.append(provider.started_at[prompt] - came_at)
    assert max(waits) <= 1.1


def test_flood_of_a_limited_type_leaves_room_for_what_the_api_lists_behind_it() -> None:
    """The service holds so many generations only, and looks beyond the others for embeddings."""
    harness = Harness(
        make_settings(concurrency_limit=4, batch_max_tasks=1, task_limits={"text-generation": 1})
    )
    harness.start_workers()
    provider = SimulatedProvider(harness, lambda _, model: Reply(60.0 if model == "chat" else 0.5))
    provider.add_generations(f"g{number}" for number in range(500))
    provider.work(30.0)
    provider.add(f"e{number}" for number in range(20))
    provider.work(60.0)
    assert {f"e{number}" for number in range(20)} <= provider.reports.keys()
    assert len(harness.backlog) <= 50
