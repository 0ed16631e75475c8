"""A page that came in time and was looked at late, as by a supervisor that was stopped for a while."""

from tests.fakes.harness import Harness


def test_page_that_waited_while_the_supervisor_was_stopped_brings_no_reported_task_back() -> None:
    harness = Harness()
    harness.start_workers(1)
    harness.list_tasks("task-1")
    harness.pass_time(harness.settings.polling_interval_seconds)
    page = harness.page("task-1")
    harness.finish(0)
    harness.answer()
    assert not harness.held
    harness.clock.advance(24 * 3600.0)
    harness.turn(page)
    assert not harness.held, "a task that was reported is paid for again"
