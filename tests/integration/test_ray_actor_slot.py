"""One slot of the bridge with actors that do what the test says. No Ray is needed."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messages import WorkerUnfit
from shared.metric_changes import AddedMetrics
from shared.models import InputPlace
from supervisor.pool.ray.actor_slot import NO_HEAD, ActorSlot
from supervisor.pool.ray.messages import Answered, Awaited, Died, Give, Report, Started
from tests.eventually import eventually
from tests.fakes.ray_cluster import FakeCluster, FakeWorker
from workers.process.actor import Answer

HERE = "10.0.0.1"


class RunningSlot:
    """Slot 3 with its thread, and what it reports. Its workers are numbered from 10."""

    def __init__(self, directory: Path, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.reports: list[Report] = []
        self.metrics = AddedMetrics(directory, "worker-3")
        self.slot = ActorSlot(
            3,
            cluster=cluster,
            config=b"config",
            numbers=itertools.count(10),
            metrics=self.metrics,
            tell=self.reports.append,
        )
        self.thread = threading.Thread(target=self.slot.run, daemon=True)
        self.thread.start()

    def wait(self, *reports: Report) -> None:
        """Until it has reported exactly these."""
        eventually(lambda: len(self.reports) >= len(reports), what=f"{reports}; there is {self.reports}")
        assert self.reports == list(reports)

    def end(self) -> None:
        self.cluster.reachable = False
        self.cluster.lost = "the test is over"
        self.slot.close()
        self.cluster.places.put(HERE)
        self.slot.kill()
        self.thread.join(20.0)
        assert not self.thread.is_alive()
        self.metrics.close()

    def up(self, start: int = 1) -> FakeWorker:
        """The worker that was started as the `start`th, once it is ready."""
        self.cluster.places.put(HERE)
        eventually(lambda: sum(isinstance(report, Started) for report in self.reports) >= start)
        return self.cluster.workers[start - 1]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def running(tmp_path: Path, cluster: FakeCluster) -> Iterator[RunningSlot]:
    running = RunningSlot(tmp_path, cluster)
    yield running
    running.end()


def give(number: int, unit_id: int) -> Give:
    return Give(3, number, unit_id, b"unit")


def answer(*finished: int) -> Answer:
    return Answer((b"message",), finished, {}, 77)


def test_what_an_actor_answers_is_passed_on(running: RunningSlot) -> None:
    worker = running.up()
    inputs = {InputPlace("a.inputs", 0, 2): b"{}"}
    running.slot.give(give(10, 5), inputs)
    assert worker.given == [(b"unit", inputs)]
    worker.answer(answer(5))
    running.wait(Started(3, 10, HERE), Answered(3, 10, (b"message",), 77))


def test_dead_actor_is_reported_once_with_the_units_that_it_had_not_finished(running: RunningSlot) -> None:
    worker = running.up()
    for unit_id in (5, 6, 7):
        running.slot.give(give(10, unit_id), {})
    worker.answer(answer(6))
    worker.die("was lost with its node")
    running.up(2)
    assert running.reports[2:] == [
        Died(3, 10, (5, 7), None, was_ready=True, reason="was lost with its node (Ray node 10.0.0.1)"),
        Started(3, 11, HERE),
    ]


def test_actor_that_is_out_of_reach_is_killed_before_its_successor_works(running: RunningSlot) -> None:
    worker = running.up()
    worker.die("cannot be reached")
    running.up(2)
    assert worker.killed.wait(20.0)


def test_unit_for_an_actor_that_is_gone_is_given_to_nobody(running: RunningSlot) -> None:
    running.up().die("died")
    successor = running.up(2)
    running.slot.give(give(10, 5), {})
    assert successor.given == []
    successor.die("died")
    eventually(lambda: len(running.reports) == 4)
    assert running.reports[-1] == Died(3, 11, (), None, was_ready=True, reason="died (Ray node 10.0.0.1)")


def test_actor_that_we_kill_has_died_of_the_signal(running: RunningSlot) -> None:
    running.up()
    running.slot.give(give(10, 5), {})
    running.slot.kill()
    running.wait(Started(3, 10, HERE), Died(3, 10, (5,), -9, was_ready=True))


def test_unit_for_an_actor_that_is_being_killed_does_not_reach_it(running: RunningSlot) -> None:
    worker = running.up()
    running.cluster.dies_late = True
    running.slot.kill()
    running.slot.give(give(10, 5), {})
    assert worker.killed.wait(20.0)
    worker.die("killed")
    running.wait(Started(3, 10, HERE), Died(3, 10, (), -9, was_ready=True))
    assert worker.given == []
    running.cluster.dies_late = False


def test_actor_that_is_recycled_ends_gently(running: RunningSlot) -> None:
    worker = running.up()
    running.slot.finish(10)
    running.wait(Started(3, 10, HERE), Died(3, 10, (), 0, was_ready=True))
    assert worker.finished.is_set()


def test_close_ends_an_actor_gently_and_starts_no_other(running: RunningSlot) -> None:
    worker = running.up()
    ending = running.slot.close()
    assert ending is not None
    ending.join(20.0)
    assert worker.finished.is_set()
    running.thread.join(20.0)
    assert running.cluster.workers == [worker]


def test_close_has_nothing_to_wait_for_while_an_actor_starts(running: RunningSlot) -> None:
    eventually(lambda: running.cluster.workers)
    assert running.slot.close() is None
    assert not running.cluster.workers[0].finished.is_set()


def test_order_to_recycle_an_earlier_actor_leaves_the_present_one_alone(running: RunningSlot) -> None:
    running.up().die("died")
    successor = running.up(2)
    running.slot.finish(10)
    running.slot.give(give(11, 5), {})
    assert successor.given == [(b"unit", {})]
    assert not successor.finished.is_set()


def test_unit_that_cannot_be_handed_over_ends_its_actor_and_says_why(running: RunningSlot) -> None:
    running.up()
    running.cluster.gives = "the object store is full"
    running.slot.give(give(10, 5), {})
    running.wait(
        Started(3, 10, HERE), Died(3, 10, (5,), None, was_ready=True, reason="the object store is full")
    )


def test_actor_without_a_place_is_awaited_and_not_dead(running: RunningSlot) -> None:
    for _ in range(3):
        running.cluster.places.put(None)
    running.up()
    running.wait(Awaited(3, "no room"), Awaited(3, ""), Started(3, 10, HERE))


def test_head_that_goes_while_an_actor_has_no_place_is_told(running: RunningSlot) -> None:
    eventually(lambda: running.cluster.workers)
    running.cluster.reachable = False
    running.cluster.places.put(None)
    running.wait(Awaited(3, NO_HEAD))


def test_actor_that_is_of_no_use_says_why(tmp_path: Path, cluster: FakeCluster) -> None:
    cluster.unfit = WorkerUnfit("the service's code on the Ray node 10.0.0.1 is not that of the supervisor")
    cluster.places.put(HERE)
    running = RunningSlot(tmp_path, cluster)
    reason = f"could not be started: {cluster.unfit.reason}"
    running.wait(Died(3, 10, (), None, was_ready=False, reason=reason))
    assert cluster.workers[0].killed.is_set()
    running.end()


def test_actor_that_cannot_start_for_the_cluster_is_gone_is_no_death(
    tmp_path: Path, cluster: FakeCluster
) -> None:
    cluster.lost, cluster.head_goes = "died", True
    running = RunningSlot(tmp_path, cluster)
    eventually(lambda: running.cluster.looks >= 4, what="it looks for the head again")
    assert running.reports == [Awaited(3, NO_HEAD)]
    assert len(cluster.workers) == 1, "none is asked for while the head is gone"
    running.end()


def test_actor_that_has_a_place_waits_for_the_head_no_longer(tmp_path: Path, cluster: FakeCluster) -> None:
    cluster.reachable = False
    running = RunningSlot(tmp_path, cluster)
    running.wait(Awaited(3, NO_HEAD))
    cluster.reachable = True
    running.up()
    running.wait(Awaited(3, NO_HEAD), Awaited(3, ""), Started(3, 10, HERE))
    running.end()


def test_what_an_actor_counted_is_added_up_here(running: RunningSlot) -> None:
    worker = running.up()
    worker.answer(Answer((b"message",), (), {"counter": {"series": 2.0}}, 0))
    worker.answer(Answer((b"message",), (), {"counter": {"series": 3.0}}, 0))
    passed_on = Answered(3, 10, (b"message",), 0)
    running.wait(Started(3, 10, HERE), passed_on, passed_on)
    assert running.metrics.read("counter", "series") == 5.0
