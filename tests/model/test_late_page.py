"""A page that came in time and was looked at late, as by a supervisor that was stopped for a while."""

from tests.fakes.house import House


def test_page_that_waited_while_the_supervisor_was_stopped_brings_no_reported_task_back() -> None:
    house = House()
    house.start_workers(1)
    house.list_tasks("task-1")
    house.pass_time(house.settings.polling_interval_seconds)
    page = house.page("task-1")
    house.finish(0)
    house.answer()
    assert not house.held
    house.clock.advance(24 * 3600.0)
    house.turn(page)
    assert not house.held, "a task that was reported is paid for again"
