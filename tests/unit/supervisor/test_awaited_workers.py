"""Workers that cannot be started through no fault of theirs, as on a cluster that is gone or full."""

from structlog.testing import capture_logs

from supervisor.console.notices.summary import all_notices
from supervisor.pool.base import WorkerDied, WorkersAwaited
from supervisor.status.status import NotReady
from tests.builders import make_settings
from tests.fakes.harness import Harness

GONE = WorkersAwaited("nothing answers at head:6379")


def not_ready(harness: Harness) -> list[NotReady]:
    return list(harness.status.not_ready)


def lose_all(harness: Harness) -> None:
    """What a pool tells whose workers all went at once, with what they ran on."""
    deaths = [WorkerDied(slot, (), 1, was_ready=True, reason="was lost") for slot in range(2)]
    harness.turn(*deaths, GONE)


def test_service_waits_for_the_first_worker_and_says_why() -> None:
    harness = Harness(make_settings(concurrency_limit=2))
    with capture_logs() as lines:
        assert harness.turn(GONE) is None
        assert harness.pass_time(600.0) is None
    assert [line["detail"] for line in lines if line["event"] == "workers_awaited"] == [GONE.reason]
    assert not_ready(harness) == [NotReady.STARTING]
    assert [trouble.detail for trouble in harness.status.troubles] == [GONE.reason]
    assert "Nothing answers at head:6379." in all_notices(harness.status)[0].text


def test_without_workers_the_service_is_not_ready_and_loses_and_blames_no_task() -> None:
    harness = Harness(make_settings(concurrency_limit=2, batch_max_tasks=2, worker_crash_limit=1))
    harness.start_workers()
    harness.list_tasks("a", "b", "c", "d")
    lose_all(harness)
    assert not_ready(harness) == [NotReady.NO_WORKERS]
    assert "Nothing answers at head:6379." in all_notices(harness.status)[0].text
    harness.start_workers()
    harness.turn(WorkersAwaited(""))
    assert not_ready(harness) == []
    assert not harness.status.troubles
    held = [[task.id for task in unit.tasks] for units in harness.units for unit in units]
    assert sorted(held) == [["a", "b"], ["c", "d"]], "none of them is a suspect that runs alone"
