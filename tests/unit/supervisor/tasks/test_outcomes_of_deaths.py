"""What becomes of the tasks of a worker that died, and how its death is told."""

from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from shared.errors import RetryReason
from supervisor.pool.base import WorkerDied
from supervisor.tasks.outcomes import describe_death
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.readings import reading
from tests.unit.supervisor.tasks.one_worker import held, told
from tests.unit.workers.test_factory import factory_of
from workers.processors.base import Limits
from workers.processors.text_embedding import EmbeddingSettings, TextEmbeddingProcessor

TYPE = "text-embedding"


def make_harness(*task_ids: str, workers: int = 1, **fields: object) -> Harness:
    harness = Harness(make_settings(concurrency_limit=workers, **fields))
    harness.start_workers()
    harness.list_tasks(*task_ids)
    return harness


def work(harness: Harness, poison: str) -> None:
    """Let the first worker run what it gets, and die of the poison."""
    while harness.held:
        if poison in held(harness):
            harness.die(0, exit_code=-11)
        else:
            harness.finish(0)


def test_task_of_a_killed_worker_runs_again() -> None:
    harness = make_harness("a")
    harness.die(0)
    assert held(harness) == ["a"]
    harness.finish(0)
    assert told(harness) == {"a": "succeeded"}
    assert reading(harness.metrics.retries, TYPE, "crash") == 1


def test_tasks_of_a_dead_workers_unit_run_one_by_one() -> None:
    harness = make_harness("a", "b", "c")
    harness.die(0)
    seen = []
    while harness.held:
        seen.append(held(harness))
        harness.finish(0)
    assert seen == [["a"], ["b"], ["c"]]


def test_poison_task_is_failed_and_named_while_the_healthy_succeed() -> None:
    names = [f"t{number}" for number in range(20)]
    harness = make_harness(*names)
    work(harness, "t7")
    answers = told(harness)
    assert answers.pop("t7") == (
        "the worker process died 3 times on this task; the last time it was killed by SIGSEGV"
    )
    assert answers == dict.fromkeys(names[:7] + names[8:], "succeeded")


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_poison_task_kills_no_more_workers_than_the_limit(limit: int) -> None:
    harness = make_harness("poison", worker_crash_limit=limit)
    deaths = 0
    while harness.held:
        harness.die(0)
        deaths += 1
    assert deaths == limit
    assert "SIGKILL" in told(harness)["poison"]


def test_no_task_is_failed_for_a_death_that_it_shared() -> None:
    harness = make_harness("a", "b", worker_crash_limit=1)
    harness.die(0)
    assert told(harness) == {}
    harness.finish(0)
    harness.finish(0)
    assert told(harness) == {"a": "succeeded", "b": "succeeded"}


def test_deaths_are_no_trouble_of_the_provider_and_no_attempt() -> None:
    harness = make_harness(*"abcdef", max_retries=0, circuit_breaker_threshold=1, worker_crash_limit=9)
    for _ in range(5):
        harness.die(0)
    assert harness.status.provider.blocked is None
    assert all(not record.attempts for record in harness.backlog.records())


def test_counts_of_deaths_survive_a_restart_of_the_service() -> None:
    harness = make_harness("poison")
    harness.die(0)
    harness.die(0)
    (record,) = harness.journal.recover(0.0).interrupted
    assert record.crashes == 2


def test_last_known_memory_is_told() -> None:
    harness = make_harness("poison", worker_crash_limit=1)
    harness.table[0].rss_bytes = 512 * 2**20
    harness.die(0)
    assert told(harness)["poison"].endswith("it was killed by SIGKILL, holding 512 MB of memory")


def test_task_that_runs_too_long_is_failed_with_the_setting_named() -> None:
    harness = make_harness("slow", worker_crash_limit=1, task_timeout_seconds=30.0)
    harness.pass_time(30.0)
    assert harness.pool.killed == [0]
    harness.die(0)
    assert told(harness)["slow"].endswith("it ran longer than TASK_TIMEOUT_SECONDS (30 s) and was killed")


def test_task_that_overruns_the_time_of_its_type_is_told_that_time() -> None:
    class Brief(TextEmbeddingProcessor):
        limits: ClassVar[Limits] = Limits(timeout_seconds=3.0)

    processors = factory_of(Brief(EmbeddingSettings.model_construct(None)))
    harness = Harness(make_settings(concurrency_limit=1, worker_crash_limit=1), processors=processors)
    harness.start_workers()
    harness.list_tasks("slow")
    with capture_logs() as lines:
        harness.pass_time(3.0)
        harness.die(0)
    assert told(harness)["slow"].endswith("the timeout_seconds of its task type (3 s) and was killed")
    said = {line["event"]: line for line in lines}
    assert said["unit_timed_out"]["seconds"] == 3.0
    assert said["unit_timed_out"]["task_types"] == said["worker_died"]["task_types"] == [TYPE]


def test_suspects_leave_at_least_half_of_the_workers_to_others() -> None:
    harness = make_harness(*[f"s{number}" for number in range(40)], workers=4)
    for slot in range(4):
        harness.turn(harness.worker_died(slot))
    harness.pass_time(1.0)
    harness.list_tasks(*[f"h{number}" for number in range(2000)])
    for slot in range(4):
        harness.turn(harness.worker_started(slot))
    for turn in range(24):
        suspects = [slot for slot, unit in harness.held.items() if unit.tasks[0].id.startswith("s")]
        assert len(suspects) <= 2
        harness.finish(turn % 4)


@pytest.mark.parametrize(
    ("exit_code", "timed_out", "rss_bytes", "told"),
    [
        (-9, None, 0, "was killed by SIGKILL"),
        (-11, None, 100 * 2**20, "was killed by SIGSEGV, holding 100 MB of memory"),
        (-99, None, 0, "was killed by signal 99"),
        (0, None, 0, "exited with code 0"),
        (1, None, 2**20, "exited with code 1, holding 1 MB of memory"),
        (None, None, 0, "could not be started"),
        (-9, 180.0, 0, "ran longer than TASK_TIMEOUT_SECONDS (180 s) and was killed"),
        (
            -9,
            0.5,
            2**20,
            "ran longer than TASK_TIMEOUT_SECONDS (0.5 s) and was killed, holding 1 MB of memory",
        ),
    ],
)
def test_death_is_told_so_that_a_person_can_act(
    exit_code: int | None, timed_out: float | None, rss_bytes: int, told: str
) -> None:
    assert describe_death(exit_code, timed_out_after_seconds=timed_out, rss_bytes=rss_bytes) == told


def test_reason_that_the_worker_gave_itself_is_told() -> None:
    harness = make_harness("a", worker_crash_limit=1)
    unit_id = harness.held[0].id
    harness.turn(WorkerDied(0, (unit_id,), 2, was_ready=True, reason="ran out of luck"))
    assert told(harness)["a"].endswith("the last time it ran out of luck")


def test_worker_that_died_of_the_probe_does_not_end_the_probing() -> None:
    harness = make_harness("a", circuit_breaker_threshold=1)
    harness.fail(0, retry=RetryReason.CONNECTION)
    harness.pass_time(60.0)
    assert held(harness) == ["a"]
    harness.die(0)
    assert held(harness) == ["a"]
