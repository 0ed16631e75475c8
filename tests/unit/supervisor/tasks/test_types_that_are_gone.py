"""A task whose processor is gone, or cannot be loaded any more, is not lost."""

from pathlib import Path

import orjson
import pytest

from shared.settings import UnknownTaskPolicy
from supervisor.task_api.wire_formats import RefusalReason
from tests.builders import PROCESSORS, make_settings
from tests.fakes.harness import Harness, item
from tests.readings import reading
from workers.factory import ProcessorFactory
from workers.plugins import Broken, Source

TYPE = "text-embedding"
NONE = ProcessorFactory([])
BROKEN = ProcessorFactory([], [Broken(Source("mine:Mine", "here"), "model.bin is missing", TYPE)])


def restarted(path: Path, processors: ProcessorFactory, policy: UnknownTaskPolicy) -> Harness:
    """A service that took a task, and the next one, which has these processors."""
    first = Harness(path=path)
    first.turn()
    first.list_tasks("a")
    first.journal.close()
    harness = Harness(make_settings(unknown_task_policy=policy), path, processors=processors)
    harness.supervisor.recover()
    harness.start_workers()
    harness.turn()
    return harness


def test_by_default_a_task_of_a_type_that_is_gone_is_failed_once(tmp_path: Path) -> None:
    harness = restarted(tmp_path / "journal", NONE, UnknownTaskPolicy.FAIL)
    job = harness.answer()
    assert "no processor for tasks of type 'text-embedding'" in orjson.loads(job.body)["error_message"]
    assert not harness.journal.holds("a")


@pytest.mark.parametrize(
    ("processors", "policy"), [(NONE, UnknownTaskPolicy.LEAVE), (BROKEN, UnknownTaskPolicy.FAIL)]
)
def test_a_task_that_is_left_runs_once_its_processor_is_back(
    tmp_path: Path, processors: ProcessorFactory, policy: UnknownTaskPolicy
) -> None:
    harness = restarted(tmp_path / "journal", processors, policy)
    assert (harness.held, harness.report_queue.jobs, harness.journal.holds("a")) == ({}, [], True)
    harness.journal.close()
    again = Harness(path=tmp_path / "journal", processors=PROCESSORS)
    again.supervisor.recover()
    again.start_workers()
    again.turn()
    assert [task.id for unit in again.held.values() for task in unit.tasks] == ["a"]


def test_a_listed_task_of_a_broken_type_waits_at_the_api_and_says_why() -> None:
    harness = Harness(processors=BROKEN)
    harness.start_workers()
    harness.list_tasks(item("a"))
    assert (harness.report_queue.jobs, harness.journal.holds("a")) == ([], False)
    assert reading(harness.metrics.rejected, RefusalReason.BROKEN_TYPE) == 1
    (trouble,) = harness.status.troubles
    assert "model.bin is missing" in trouble.detail
