"""The supervisor's memory where there is much of something: one huge page, or results that nobody takes."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.contenders import Contender
from benchmarks.course import FAST, Course, RunFailedError, course
from benchmarks.load import TEXT_CHARACTERS

PAGE_TASKS = 100_000
PAGE_REPORTS = 5_000
WAITING_REPORTS = 50_000
LIMIT_SECONDS = 300.0


class Bulk(StrEnum):
    """What there is much of."""

    HUGE_PAGES = "huge pages"
    """Each poll is answered with all of 100,000 tasks, whatever was asked for; until 5,000 are reported."""
    WAITING_RESULTS = "waiting results"
    """No report is taken, until 50,000 wait; then they are, until all are reported."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One run."""

    contender: Contender
    bulk: Bulk
    reported: int
    peak_supervisor_mb: float
    bad_vectors: int
    paid_twice: int
    repeated: int


def run_bulk(contender: Contender, bulk: Bulk) -> Memory:
    """RunFailedError where the service does not get through it."""
    if not contender.is_service:
        raise RunFailedError(f"bulk is about the service, and {contender} is none")
    with course(contender, FAST) as running:
        running.warm_up()
        _SCENES[bulk](running)
        reported, sold = running.api.get("stats"), running.provider.get("stats")
        return Memory(
            contender=contender,
            bulk=bulk,
            reported=reported["final"],
            peak_supervisor_mb=running.tree.peak_root_bytes() / 1e6,
            bad_vectors=reported["bad_vectors"],
            paid_twice=sold["paid_twice"],
            repeated=reported["repeated_reports"],
        )


def _huge_pages(running: Course) -> None:
    running.api.post("whole-pages")
    running.api.post(f"seed?count={PAGE_TASKS}&characters={TEXT_CHARACTERS}")
    _wait_for_reports(running, PAGE_REPORTS)


def _waiting_results(running: Course) -> None:
    running.api.post("refuse-reports")
    running.api.post(f"seed?count={WAITING_REPORTS}&characters={TEXT_CHARACTERS}")
    wanted = f"{WAITING_REPORTS} results wait"
    running.wait_until(lambda: running.status()["outbox"] >= WAITING_REPORTS, wanted, LIMIT_SECONDS)
    running.api.post("take-reports")
    _wait_for_reports(running, WAITING_REPORTS)


def _wait_for_reports(running: Course, count: int) -> None:
    what = f"{count} tasks are reported"
    running.wait_until(lambda: running.api.get("stats")["final"] >= count, what, LIMIT_SECONDS)


_SCENES: dict[Bulk, Callable[[Course], None]] = {
    Bulk.HUGE_PAGES: _huge_pages,
    Bulk.WAITING_RESULTS: _waiting_results,
}
