"""What failed last, of a whole service on fakes: in its status, in its headline and in its log."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.errors import Blame, RetryReason
from supervisor.console.notices.notice import Notice
from supervisor.console.notices.summary import all_notices
from supervisor.runtime.trouble import Trouble
from supervisor.status.status import Idle
from supervisor.task_api.responses import Health, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness, item

Lines = list[MutableMapping[str, Any]]
REFUSED = "cannot connect to api:8000: Connection refused: check API_BASE_URL"
BROKEN = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 500, "status 500: database is locked")


@pytest.fixture
def brittle() -> Harness:
    """A service whose breakers open with the first failure."""
    harness = Harness(make_settings(circuit_breaker_threshold=1, api_base_url="http://api:8000"))
    harness.start_workers()
    return harness


def headline(harness: Harness) -> Notice:
    return all_notices(harness.status)[0]


def trouble(harness: Harness) -> Trouble:
    (only,) = harness.status.troubles
    return only


def lines(log_lines: Lines, event: str) -> Lines:
    return [line for line in log_lines if line["event"] == event]


def test_api_that_cannot_be_reached_is_told_with_the_reason(brittle: Harness, log_lines: Lines) -> None:
    brittle.poll_fails(PollResult.UNREACHABLE, Health.UNHEALTHY, detail=REFUSED)
    brittle.pass_time(60.0)
    brittle.poll_fails(PollResult.UNREACHABLE, Health.UNHEALTHY, detail=REFUSED)
    assert brittle.status.idle is Idle.API_CIRCUIT_OPEN
    told = headline(brittle)
    assert told.title == "The task API does not answer"
    assert told.text.startswith("Cannot connect to api:8000: Connection refused: check API_BASE_URL. 2 times")
    assert "The next try is in" in told.text
    assert (trouble(brittle).address, trouble(brittle).setting) == ("http://api:8000", "API_BASE_URL")
    opened = lines(log_lines, "breaker_changed")[0]
    assert (opened["state"], opened["detail"], opened["times"]) == ("open", REFUSED, 1)


def test_failing_polls_are_told_with_their_words_while_the_breaker_is_closed(
    harness: Harness, log_lines: Lines
) -> None:
    harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, detail="status 418: no coffee here")
    assert harness.status.idle is Idle.POLLS_FAILING
    told = headline(harness)
    assert told.title == "The task API refuses the request for tasks"
    assert "Status 418: no coffee here. At http" in told.text
    assert "Check API_BASE_URL." in told.text
    (line,) = lines(log_lines, "poll_failed")
    assert (line["detail"], line["setting"]) == ("status 418: no coffee here", "API_BASE_URL")


def test_poll_that_succeeds_ends_the_trouble_of_polls(harness: Harness) -> None:
    harness.poll_fails(PollResult.SERVER_ERROR, Health.UNHEALTHY, detail="status 500: no")
    assert trouble(harness).calls == "polls"
    harness.pass_time(2.0)
    harness.list_tasks()
    assert harness.status.troubles == ()
    assert harness.status.idle is Idle.NO_WORK


def test_held_poll_that_was_cut_off_is_no_trouble() -> None:
    harness = Harness(make_settings(poll_wait_seconds=30.0))
    harness.start_workers()
    harness.poll_fails(
        PollResult.SERVER_ERROR, Health.UNKNOWN, detail="status 504: Gateway Time-out", took_seconds=20.0
    )
    assert harness.status.troubles == ()
    assert harness.status.learned.poll_wait_seconds is not None


def test_report_that_is_not_taken_is_told_with_the_reason(brittle: Harness, log_lines: Lines) -> None:
    brittle.list_tasks("a")
    brittle.finish(0)
    brittle.answer(answer=BROKEN)
    told = headline(brittle)
    assert told.title == "The task API answers with server errors"
    assert told.text.startswith("Status 500: database is locked. At http://api:8000, once, at ")
    assert "1 result waits safe in the journal." in told.text
    assert lines(log_lines, "report_failed")[0]["detail"] == "status 500: database is locked"
    assert lines(log_lines, "breaker_changed")[0]["calls"] == "reports"


def test_server_error_that_repeats_the_message_of_a_failed_task_shows_none_of_it(
    brittle: Harness, log_lines: Lines
) -> None:
    brittle.list_tasks("a")
    brittle.fail(0, "cannot embed 'text of a'", blame=Blame.PROCESSOR)
    brittle.answer(
        answer=ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 500, "status 500: got 'text of a'")
    )
    assert trouble(brittle).detail == "status 500"
    assert "text of a" not in str(log_lines) + str(brittle.status)


def test_trouble_of_reports_is_over_when_none_is_owed(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(answer=BROKEN)
    assert trouble(harness).calls == "reports"
    harness.pass_time(10.0)
    harness.answer(outcome=ReportOutcome.REJECTED)
    assert harness.status.troubles == ()


def test_provider_that_fails_is_told_with_the_reason(brittle: Harness, log_lines: Lines) -> None:
    brittle.list_tasks("a")
    brittle.fail(0, "the provider failed: 502, upstream is gone", retry=RetryReason.SERVER_ERROR)
    assert brittle.status.idle is Idle.PROVIDER_CIRCUIT_OPEN
    told = headline(brittle)
    assert told.title == "Provider openai answers with server errors"
    assert told.text.startswith(
        "The provider failed: 502, upstream is gone. At https://api.openai.com/v1, once"
    )
    (opened,) = lines(log_lines, "breaker_changed")
    assert opened["detail"] == "the provider failed: 502, upstream is gone"
    assert opened["address"] == "https://api.openai.com/v1"


def test_breaker_that_closes_is_logged_without_a_cause(brittle: Harness, log_lines: Lines) -> None:
    brittle.list_tasks("a")
    brittle.fail(0, "the provider failed: 502", retry=RetryReason.SERVER_ERROR)
    brittle.pass_time(4.0)
    (slot,) = brittle.held
    brittle.finish(slot)
    closed = lines(log_lines, "breaker_changed")[-1]
    assert closed["state"] == "closed"
    assert "detail" not in closed


def test_retry_is_told_with_the_error_that_it_waits_for(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.fail(0, "the provider failed: 500, out of memory", retry=RetryReason.SERVER_ERROR)
    assert harness.status.idle is Idle.RETRY_WAIT
    told = headline(harness)
    assert told.title == "Waiting to try 1 task again after errors"
    assert told.text.startswith("The provider failed: 500, out of memory. At https://api.openai.com/v1, once")


def test_retry_is_told_with_its_error_also_when_others_were_served_since(harness: Harness) -> None:
    harness.list_tasks("a", "b")
    slots = {unit.tasks[0].id: slot for slot, unit in harness.held.items()}
    harness.fail(slots["a"], "the provider failed: 500", retry=RetryReason.SERVER_ERROR)
    harness.finish(slots["b"])
    assert harness.status.troubles == ()
    assert harness.status.retry is not None
    assert (harness.status.retry.tasks, harness.status.retry.detail) == (1, "the provider failed: 500")
    assert "The provider failed: 500. Last at " in headline(harness).text


def test_rate_limit_is_told_with_the_providers_words(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.fail(0, "429, slow down", retry=RetryReason.RATE_LIMIT, retry_after_seconds=12.0)
    assert headline(harness).title == "Rate-limited for 12 s"
    assert headline(harness).text.startswith("429, slow down.")
    assert lines(log_lines, "provider_throttled")[0]["detail"] == "429, slow down"


def test_hold_says_since_when_and_what_to_look_at(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.fail(0, "401, Incorrect API key", retry=RetryReason.UNAUTHORIZED)
    told = headline(harness)
    assert told.title == "Provider openai on hold: the key is not accepted"
    assert "“401, Incorrect API key” At https://api.openai.com/v1, once, at " in told.text
    assert "Check OPENAI_API_KEY." in told.text
    (held,) = lines(log_lines, "provider_held")
    assert (held["message"], held["setting"], held["address"]) == (
        "401, Incorrect API key",
        "OPENAI_API_KEY",
        "https://api.openai.com/v1",
    )


def test_text_that_a_provider_quotes_in_an_error_is_not_shown(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.fail(0, "the provider failed: 500, cannot read 'text of a'", retry=RetryReason.SERVER_ERROR)
    assert trouble(harness).detail == "the provider failed: 500, cannot read '[text]'"
    assert "text of a" not in str(harness.status)


def test_text_that_is_quoted_when_everything_is_refused_is_neither_shown_nor_logged(
    harness: Harness, log_lines: Lines
) -> None:
    harness.list_tasks("a")
    harness.fail(0, "400, no access for 'text of a'")
    (slot,) = harness.held
    harness.fail(slot, "400, no access for 'word'")
    (held,) = lines(log_lines, "provider_held")
    assert held["message"] == "400, no access for '[text]'"
    assert "text of a" not in str(harness.status)
    assert headline(harness).title == "Provider openai on hold: it refuses whatever it is asked"


def test_model_that_is_not_there_is_named_and_others_go_on(harness: Harness) -> None:
    harness.list_tasks(item("a", input_data={"text": "text of a", "model": "embed-9"}))
    harness.fail(0, "nothing at http://ai/v1 for embed-9", blame=Blame.MODEL_OR_ADDRESS)
    status = harness.status
    assert status.idle is Idle.PROVIDER_HOLD
    assert status.wait_seconds == pytest.approx(60.0)
    assert [(row.model, row.message, row.times) for row in status.holds] == [
        ("embed-9", "nothing at http://ai/v1 for embed-9", 1)
    ]
    told = headline(harness)
    assert told.title == "Model embed-9 on hold: the provider has nothing there"
    assert "those of other models go on" in told.text


def test_more_tasks_of_a_held_model_do_not_look_rate_limited(harness: Harness) -> None:
    asks = {"model": "embed-9"}
    harness.list_tasks(item("a", input_data={"text": "text of a", **asks}))
    harness.fail(0, "nothing there", blame=Blame.MODEL_OR_ADDRESS)
    harness.pass_time(2.0)
    harness.list_tasks(item("b", input_data={"text": "text of b", **asks}))
    assert len(harness.backlog) == 2
    assert harness.status.idle is Idle.PROVIDER_HOLD


def test_model_that_is_refused_again_is_known_since_the_first_time(harness: Harness) -> None:
    harness.list_tasks(item("a", input_data={"text": "text of a", "model": "embed-9"}))
    harness.fail(0, "nothing there", blame=Blame.MODEL_OR_ADDRESS)
    since = harness.status.holds[0].since_seconds
    harness.pass_time(60.1)
    (slot,) = harness.held
    harness.fail(slot, "nothing there", blame=Blame.MODEL_OR_ADDRESS)
    assert [(row.times, row.since_seconds) for row in harness.status.holds] == [(2, since)]


def test_disk_that_takes_nothing_is_told_with_its_error(harness: Harness) -> None:
    harness.disk.fill()
    harness.list_tasks("a")
    assert trouble(harness).service == "journal"
    assert trouble(harness).detail in headline(harness).text.lower() or "full" in headline(harness).text
    harness.disk.free()
    harness.turn()
    assert harness.status.troubles == ()


@pytest.mark.parametrize("restarted", [False, True])
def test_last_line_of_a_failed_task_has_its_message_without_its_text(
    restarted: bool, tmp_path: Any, log_lines: Lines
) -> None:
    path = tmp_path / "journal.sqlite3"
    harness = Harness(path=path)
    harness.start_workers()
    harness.list_tasks("a")
    harness.fail(0, "cannot embed 'text of a': " + "x" * 1000, blame=Blame.PROCESSOR)
    if restarted:
        harness.journal.close()
        harness = Harness(path=path)
        harness.supervisor.recover()
        harness.start_workers()
    harness.answer()
    (line,) = lines(log_lines, "task_finished")
    assert line["message"].startswith("cannot embed '[text]': xxx")
    assert 290 < len(line["message"]) <= 300


def test_last_line_of_a_task_that_succeeded_has_no_message(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer()
    (line,) = lines(log_lines, "task_finished")
    assert "message" not in line


def test_what_was_learned_is_in_the_status(harness: Harness) -> None:
    harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, detail="status 422: limit", too_much=True)
    harness.pass_time(1.0)
    harness.list_tasks("a")
    harness.finish(0)
    shed = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "status 429: later")
    harness.answer(answer=shed)
    learned = harness.status.learned
    assert learned.tasks_a_page is not None
    assert learned.reports_per_second == pytest.approx(1.0)
    assert [row.model for row in learned.models] == ["text-embedding-3-small"]
    assert "Reports are slowed to 1.0/s" in [each.title for each in all_notices(harness.status)]
