"""The file with the large inputs of a claimed page goes when none of its tasks is ours any more."""

from dataclasses import replace
from pathlib import Path

from shared.settings import ClaimMode
from tests.builders import make_processors, make_settings
from tests.fakes.harness import Harness, item
from workers.processors.text_embedding import LongText

LEASE_SECONDS = 300.0
TEXT = {"text": "word " * 250_000}


def make_harness(path: Path) -> Harness:
    settings = make_settings(
        claim_mode=ClaimMode.BATCH,
        claim_lease_seconds=LEASE_SECONDS,
        concurrency_limit=1,
        batch_max_tasks=1,
    )
    processors = make_processors(long_text=LongText.MEAN)
    harness = Harness(settings, path / "journal.sqlite3", processors=processors)
    harness.start_workers()
    return harness


def claim(harness: Harness, *task_ids: str, requested_at: float | None = None) -> None:
    """A page comes, with its inputs on the disk as the reader of pages leaves them."""
    items = [item(task_id, status="processing", input_data=TEXT) for task_id in task_ids]
    polled = harness.page(*items, requested_at=requested_at)
    tasks = harness.journal.inputs.store(polled.answer.page.tasks)
    assert all(task.input_place for task in tasks)
    page = replace(polled.answer.page, tasks=tasks)
    harness.turn(replace(polled, answer=replace(polled.answer, page=page)))


def files(path: Path) -> int:
    return len(list((path / "inputs").glob("*")))


def test_it_goes_with_the_last_of_its_tasks_and_a_lost_one_does_not_keep_it(tmp_path: Path) -> None:
    harness = make_harness(tmp_path)
    claim(harness, "a", "b")
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal("b")
    assert (len(harness.backlog), files(tmp_path)) == (0, 1), "a runs"
    harness.finish(0)
    harness.answer()
    assert files(tmp_path) == 0


def test_it_goes_at_once_where_the_page_brings_nothing_new(tmp_path: Path) -> None:
    harness = make_harness(tmp_path)
    claim(harness, "a")
    harness.pass_time(2.0)
    asked_at = harness.clock()
    harness.clock.advance(0.1)
    harness.finish(0)
    harness.answer()
    assert files(tmp_path) == 0
    claim(harness, "a", requested_at=asked_at)
    assert (files(tmp_path), harness.held) == (0, {})
