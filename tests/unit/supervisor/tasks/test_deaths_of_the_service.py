"""The service's own death is evidence against what ran, and against nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.runtime.process import ExitCode
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.unit.supervisor.tasks.one_worker import held, told

MAX_LIVES = 30


class Lives:
    """One service on one journal, from death to death."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path = path
        self.settings = make_settings(**settings)
        self.harness = self._begin()
        self.count = 1

    def die(self, booted_at_seconds: float = 0.0) -> Harness:
        """kill -9, and the next life, up to its first turn with workers."""
        self.harness.journal.close()
        self.count += 1
        self.harness = self._begin(booted_at_seconds)
        return self.harness

    def work(self, poison: str) -> dict[str, str]:
        """Work until all is done, where the service dies whenever `poison` runs; what the API is told."""
        answers: dict[str, str] = {}
        while self.count < MAX_LIVES:
            answers |= told(self.harness)
            if poison in held(self.harness):
                self.die()
            elif self.harness.held:
                self.harness.finish(min(self.harness.held))
            elif not len(self.harness.journal):
                return answers
            else:
                self.harness.pass_time(1.0)
        raise AssertionError(f"it died {self.count} times, and {answers} is all that came of it")

    def _begin(self, booted_at_seconds: float = 0.0) -> Harness:
        harness = Harness(self.settings, self.path)
        harness.supervisor.recover(booted_at_seconds)
        harness.start_workers()
        return harness


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Lives]]:
    yield lambda **settings: Lives(tmp_path / "journal", **settings)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_task_that_kills_the_service_is_failed_at_the_limit(live: Callable[..., Lives], limit: int) -> None:
    lives = live(worker_crash_limit=limit)
    lives.harness.list_tasks("poison")
    message = lives.work("poison")["poison"]
    assert lives.count - 1 == limit
    assert "on this task; the last time it took the whole service with it" in message
    assert (f"died {limit} times" if limit > 1 else "died once") in message


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch", [1, 7, 50])
def test_task_that_kills_the_service_fails_alone_among_others(
    live: Callable[..., Lives], workers: int, batch: int
) -> None:
    lives = live(concurrency_limit=workers, batch_max_tasks=batch)
    names = [f"t{number}" for number in range(40)]
    lives.harness.list_tasks(*names)
    answers = lives.work("t17")
    assert "died 3 times on this task" in answers.pop("t17")
    assert answers == dict.fromkeys(sorted(set(names) - {"t17"}), "succeeded")
    assert lives.count <= 6


def test_task_that_kills_the_service_is_found_while_other_work_never_ends(live: Callable[..., Lives]) -> None:
    lives = live(concurrency_limit=2, batch_max_tasks=2)
    lives.harness.list_tasks("poison", *(f"t{number}" for number in range(100)))
    for _ in range(4):
        while "poison" not in held(lives.harness):
            lives.harness.finish(min(lives.harness.held))
        lives.die()
    assert "died 3 times" in told(lives.harness)["poison"]


def test_suspects_of_the_first_death_run_side_by_side_each_a_unit_of_its_own(
    live: Callable[..., Lives],
) -> None:
    lives = live(concurrency_limit=2, batch_max_tasks=10)
    lives.harness.list_tasks(*"abcdef")
    harness = lives.die()
    assert [[task.id for task in unit.tasks] for unit in harness.held.values()] == [["a"], ["b"]]


def test_nothing_runs_beside_a_suspect_of_a_second_death(live: Callable[..., Lives]) -> None:
    lives = live(concurrency_limit=3, batch_max_tasks=2)
    lives.harness.list_tasks(*"abcdef")
    lives.die()
    harness = lives.die()
    for name in "abc":
        assert held(harness) == [name]
        harness.finish(0)
    assert sorted(held(harness)) == ["d", "e", "f"]


def test_exclusive_task_waits_until_the_others_have_ended(live: Callable[..., Lives]) -> None:
    lives = live(concurrency_limit=2, batch_max_tasks=1)
    lives.harness.list_tasks("a")
    harness = lives.die()
    assert held(harness) == ["a"]
    harness.pass_time(5.0)
    harness.list_tasks("b", "c")
    assert held(harness) == ["a"]
    harness.die(0)
    assert held(harness) == ["a"]
    harness.finish(0)
    assert sorted(held(harness)) == ["b", "c"]


@pytest.mark.parametrize("finished_before_a_kill", [1, 2, 3])
def test_kills_at_the_same_moment_of_each_life_fail_nobody(
    live: Callable[..., Lives], finished_before_a_kill: int
) -> None:
    lives = live(concurrency_limit=4, batch_max_tasks=5)
    names = [f"t{number}" for number in range(60)]
    lives.harness.list_tasks(*names)
    answers: dict[str, str] = {}
    while len(answers) < len(names):
        for _ in range(finished_before_a_kill):
            lives.harness.finish(min(lives.harness.held))
            answers |= told(lives.harness)
            if not lives.harness.held:
                break
        else:
            lives.die()
    assert answers == dict.fromkeys(names, "succeeded")


@pytest.mark.parametrize("signals", [1, 2])
def test_death_after_a_request_to_stop_is_no_evidence(live: Callable[..., Lives], signals: int) -> None:
    lives = live(worker_crash_limit=1)
    lives.harness.list_tasks("a")
    codes = [lives.harness.stop() for _ in range(signals)]
    assert codes == [None, ExitCode.LEFT_OVER][:signals]
    harness = lives.die()
    assert [record.crashes for held in harness.table.assignments() for record in held.records] == [0]


def test_death_with_the_machine_is_no_evidence(live: Callable[..., Lives]) -> None:
    lives = live(worker_crash_limit=1)
    lives.harness.list_tasks("a")
    assert held(lives.die(booted_at_seconds=4e9)) == ["a"]
    assert told(lives.harness) == {}


def test_death_before_the_first_commit_of_a_life_counts_once(live: Callable[..., Lives]) -> None:
    lives = live(worker_crash_limit=2)
    lives.harness.list_tasks("a")
    for _ in range(5):
        lives.harness.journal.close()
        lives.harness = Harness(lives.settings, lives.path)
        lives.harness.supervisor.recover()
    lives.harness.start_workers()
    assert held(lives.harness) == ["a"]
