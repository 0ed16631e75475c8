"""The pool on Ray with a bridge that reports what the test says. No Ray is needed."""

import importlib.metadata
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.errors import ConfigurationError
from shared.messages import Unit, UnitDone, UnitProgress
from shared.models import InputPlace
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.pool.ray import pool
from supervisor.pool.ray.messages import (
    Alive,
    Answered,
    Awaited,
    Close,
    Died,
    Finish,
    Give,
    Joined,
    Kill,
    Report,
    Started,
    Unreachable,
)
from supervisor.pool.ray.pool import MAX_START_BACKOFF_SECONDS, RayPool, check_ray_installed
from tests.builders import make_task
from tests.eventually import eventually
from tests.fakes.ray_bridge import Bridges, FakeBridge
from tests.integration.pool_events import EventLog

SLOTS = 2


class Service:
    """A pool, what it told, and the bridges it started. It rests only as long as `may_rest` is set."""

    def __init__(self, silence_seconds: float = 60.0) -> None:
        self.log = EventLog()
        self.bridges = Bridges()
        self.rests: list[float] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.pool = RayPool(
            SLOTS,
            "head:6379",
            self.bridges.launch,
            self.log.post,
            silence_seconds=silence_seconds,
            rest=self._rest,
        )
        self.pool.start()

    def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.may_go_on.wait(20.0)

    def bridge(self, start: int = 1) -> FakeBridge:
        """The one that was started as the `start`th."""
        eventually(lambda: len(self.bridges.all) >= start, what=f"{start} bridges")
        return self.bridges.all[start - 1]

    def with_workers(self) -> FakeBridge:
        """The first bridge, with both workers up."""
        bridge = self.bridge()
        bridge.tell(Joined(), Started(0, 1, "10.0.0.1"), Started(1, 2, "10.0.0.2"))
        self.log.wait(WorkerStarted, 2)
        return bridge

    def awaited(self) -> list[str]:
        return [event.reason for event in self.log.events if isinstance(event, WorkersAwaited)]


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    end(service)


def end(service: Service) -> None:
    service.may_go_on.set()
    closing = threading.Thread(target=service.pool.close)
    closing.start()

    def is_closed() -> bool:
        for bridge in list(service.bridges.all):
            bridge.end()
        return not closing.is_alive()

    eventually(is_closed)
    for bridge in service.bridges.all:
        bridge.forget()


def make_unit(unit_id: int = 5) -> Unit:
    return Unit(unit_id, (make_task(),))


def answer(slot: int, number: int, *messages: UnitDone | UnitProgress, rss_bytes: int = 0) -> Answered:
    return Answered(slot, number, tuple(pickle.dumps(message) for message in messages), rss_bytes)


def test_unit_goes_to_its_worker_and_the_answer_comes_back(service: Service) -> None:
    bridge = service.with_workers()
    unit = make_unit(7)
    service.pool.dispatch(1, 2, unit)
    given = bridge.hear()
    assert isinstance(given, Give)
    assert (given.slot, given.number, given.unit_id, pickle.loads(given.unit)) == (1, 2, 7, unit)
    bridge.tell(answer(1, 2, UnitProgress(7, {}), UnitDone(7), rss_bytes=5_000))
    assert service.log.wait(UnitProgressed).progress == UnitProgress(7, {})
    assert service.log.wait(UnitFinished) == UnitFinished(1, UnitDone(7))
    assert service.pool.rss_bytes(1) == 5_000
    assert service.log.all(WorkerStarted)[1].where == "Ray node 10.0.0.2"


def test_inputs_in_files_are_named_for_the_bridge_to_read(service: Service) -> None:
    bridge = service.with_workers()
    unit = make_unit()
    place = InputPlace("a.inputs", 3, 9)
    stored = tuple(replace(task, input=None, input_place=place) for task in unit.tasks * 2)
    service.pool.dispatch(0, 1, replace(unit, tasks=stored))
    given = bridge.hear()
    assert isinstance(given, Give)
    assert given.places == (place,)


def test_death_of_an_actor_is_told_once_with_what_it_held(service: Service) -> None:
    bridge = service.with_workers()
    death = Died(1, 2, (7, 9), None, was_ready=True, reason="was lost with its Ray node 10.0.0.2")
    bridge.tell(death, death, answer(1, 2, UnitDone(7)), answer(0, 1, UnitDone(3)))
    assert service.log.wait(UnitFinished) == UnitFinished(0, UnitDone(3))
    assert service.log.all(WorkerDied) == [
        WorkerDied(1, (7, 9), None, was_ready=True, reason="was lost with its Ray node 10.0.0.2")
    ]


def test_late_answer_of_an_actor_is_not_taken_for_one_of_its_successor(service: Service) -> None:
    bridge = service.with_workers()
    bridge.tell(Died(1, 2, (7,), None, was_ready=True, reason="died"), Started(1, 3, "10.0.0.1"))
    bridge.tell(answer(1, 2, UnitDone(7)), answer(1, 3, UnitDone(8)))
    assert service.log.wait(UnitFinished) == UnitFinished(1, UnitDone(8))


def test_when_the_bridge_ends_every_worker_dies_once_and_no_unit_is_blamed(service: Service) -> None:
    service.may_go_on.clear()
    bridge = service.with_workers()
    service.pool.dispatch(0, 1, make_unit(7))
    assert isinstance(bridge.hear(), Give)
    bridge.tell(Died(1, 2, (), None, was_ready=True, reason="died"))
    bridge.end()
    eventually(lambda: service.rests)
    reason = "was lost: the connection to the Ray cluster at head:6379 ended"
    assert service.log.all(WorkerDied) == [
        WorkerDied(1, (), None, was_ready=True, reason="died"),
        WorkerDied(0, (), 1, was_ready=True, reason=reason),
    ]


def test_bridge_that_never_had_a_worker_takes_none_along(service: Service) -> None:
    service.with_workers().end()
    service.bridge(2).end()
    service.bridge(3)
    assert len(service.log.all(WorkerDied)) == SLOTS


def test_bridge_that_ends_before_it_has_joined_says_where_to_look(service: Service) -> None:
    service.bridge().tell(Joined())
    service.bridge().end()
    service.bridge(2).end(-11)
    eventually(lambda: len(service.awaited()) == 2)
    joined, not_joined = service.awaited()
    assert joined == "the connection to the Ray cluster at head:6379 ended"
    assert not_joined.startswith("the bridge process ended (exit code -11) before it had joined the Ray")
    assert "stderr" in not_joined


def test_answers_that_the_bridge_sent_before_its_end_count(service: Service) -> None:
    bridge = service.with_workers()
    bridge.tell(answer(0, 1, UnitDone(3)))
    bridge.end()
    assert service.log.wait(UnitFinished) == UnitFinished(0, UnitDone(3))
    assert service.log.wait(WorkerDied).slot == 0


def test_no_worker_of_a_later_bridge_has_the_number_of_an_earlier_one(service: Service) -> None:
    bridge = service.with_workers()
    bridge.tell(Died(1, 2, (), None, was_ready=True), Started(1, 5, "10.0.0.1"))
    service.log.wait(WorkerStarted, 3)
    bridge.end()
    assert service.bridge(2).first_number == 6


def test_order_for_a_bridge_that_is_gone_does_not_reach_the_next(service: Service) -> None:
    service.may_go_on.clear()
    service.with_workers().end()
    eventually(lambda: service.rests)
    service.pool.dispatch(0, 1, make_unit(7))
    service.pool.kill(0)
    service.may_go_on.set()
    later = service.bridge(2)
    later.tell(Joined(), Started(0, later.first_number, "10.0.0.1"))
    service.log.wait(WorkerStarted, 3)
    service.pool.recycle(0, later.first_number)
    assert later.hear() == Finish(0, later.first_number)


def test_next_bridge_hears_orders_though_the_last_refused_them(service: Service) -> None:
    bridge = service.with_workers()
    bridge.stop_hearing()
    service.pool.kill(0)
    eventually(lambda: "ray-orders" not in [thread.name for thread in threading.enumerate()])
    service.may_go_on.clear()
    bridge.end()
    eventually(lambda: service.rests)
    service.may_go_on.set()
    later = service.bridge(2)
    later.tell(Joined(), Started(1, later.first_number, "10.0.0.1"))
    service.log.wait(WorkerStarted, 3)
    service.pool.kill(1)
    assert later.hear() == Kill(1)


def test_cluster_that_cannot_be_reached_is_told_once_and_is_no_death(service: Service) -> None:
    for start in range(1, 8):
        bridge = service.bridge(start)
        bridge.tell(Unreachable("nothing answers at head:6379"))
        bridge.end()
    service.bridge(8)
    assert service.awaited() == ["nothing answers at head:6379"]
    assert service.log.all(WorkerDied) == []


def test_starts_of_bridges_come_ever_later_until_one_has_joined(service: Service) -> None:
    for start in range(1, 8):
        service.bridge(start).end()
    service.bridge(8).tell(Joined())
    service.bridge(8).end()
    service.bridge(9)
    assert service.rests == [
        0.5,
        1.0,
        2.0,
        4.0,
        8.0,
        MAX_START_BACKOFF_SECONDS,
        MAX_START_BACKOFF_SECONDS,
        0.5,
    ]


def test_workers_without_a_place_are_told_and_so_is_that_they_have_one(service: Service) -> None:
    bridge = service.bridge()
    bridge.tell(Joined(), Started(0, 1, "10.0.0.1"), Awaited(1, "no room for 1 CPU"))
    eventually(lambda: len(service.awaited()) == 1)
    bridge.tell(Awaited(1, ""), Started(1, 2, "10.0.0.2"))
    eventually(lambda: len(service.awaited()) == 2)
    assert service.awaited() == ["1 of 2 workers wait: no room for 1 CPU", ""]


@pytest.mark.parametrize(
    "end_of_wait", [Started(1, 2, "10.0.0.2"), Died(1, 2, (), None, was_ready=False, reason="no use")]
)
def test_worker_that_comes_up_or_dies_waits_no_longer(service: Service, end_of_wait: Report) -> None:
    service.bridge().tell(Joined(), Awaited(1, "no room for 1 CPU"), end_of_wait)
    eventually(lambda: len(service.awaited()) == 2)
    assert service.awaited()[-1] == ""


def test_next_bridge_does_not_wait_for_what_the_last_waited_for(service: Service) -> None:
    bridge = service.bridge()
    bridge.tell(Joined(), Awaited(1, "no room for 1 CPU"))
    eventually(service.awaited)
    bridge.end()
    service.bridge(2).tell(Joined())
    eventually(lambda: len(service.awaited()) == 3)
    assert service.awaited()[-1] == ""


def test_worker_that_is_gone_holds_no_memory(service: Service) -> None:
    service.may_go_on.clear()
    bridge = service.with_workers()
    for slot, number in ((0, 1), (1, 2)):
        bridge.tell(answer(slot, number, UnitDone(number), rss_bytes=5_000))
    service.log.wait(UnitFinished, 2)
    bridge.tell(Died(1, 2, (), None, was_ready=True, reason="died"))
    service.log.wait(WorkerDied)
    assert [service.pool.rss_bytes(slot) for slot in range(SLOTS)] == [5_000, 0]
    bridge.end()
    eventually(lambda: service.rests)
    assert service.pool.rss_bytes(0) == 0


def test_bridge_that_says_nothing_is_replaced() -> None:
    service = Service(silence_seconds=0.05)
    try:
        first = service.bridge()
        service.bridge(2)
        assert first.killed
    finally:
        end(service)


def test_bridge_that_stops_in_the_middle_of_a_message_is_replaced() -> None:
    service = Service(silence_seconds=0.05)
    try:
        first = service.bridge()
        first.tell_half(Started(0, 1, "10.0.0.1"))
        service.bridge(2)
        assert first.killed
    finally:
        end(service)


def test_sign_of_life_is_no_news(service: Service) -> None:
    bridge = service.with_workers()
    before = list(service.log.events)
    bridge.tell(Alive(), answer(0, 1, UnitDone(3)))
    service.log.wait(UnitFinished)
    assert service.log.events == [*before, UnitFinished(0, UnitDone(3))]


def test_kill_and_recycle_are_orders_to_the_bridge(service: Service) -> None:
    bridge = service.with_workers()
    service.pool.kill(0)
    service.pool.recycle(1, 2)
    assert [bridge.hear(), bridge.hear()] == [Kill(0), Finish(1, 2)]


def test_close_asks_the_bridge_to_end_and_tells_no_death() -> None:
    service = Service()
    bridge = service.with_workers()
    closing = threading.Thread(target=service.pool.close)
    closing.start()
    assert bridge.hear() == Close()
    bridge.tell(Died(0, 1, (), 0, was_ready=True))
    bridge.end(0)
    closing.join()
    assert service.log.all(WorkerDied) == []
    assert len(service.bridges.all) == 1
    bridge.forget()


def test_close_kills_a_bridge_that_hears_nothing_and_leaves_no_zombie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "CLOSE_SECONDS", 0.05)
    service = Service()
    bridge = service.with_workers()
    service.pool.close()
    assert bridge.killed
    assert bridge.collected
    bridge.forget()


def test_close_does_not_wait_for_a_bridge_that_has_no_workers() -> None:
    service = Service()
    bridge = service.bridge()
    bridge.tell(Unreachable("nothing answers at head:6379"))
    eventually(service.awaited)
    service.pool.close()
    assert bridge.killed
    bridge.forget()


def test_without_ray_there_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigurationError) as caught:
        check_ray_installed()
    (line,) = caught.value.faults
    assert line.startswith("POOL: ")
    assert "pip install --require-hashes -r requirements-ray.txt" in line
