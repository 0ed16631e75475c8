"""Why a poll or a report failed, in words that may be logged."""

import pytest

from supervisor.task_api.responses import (
    Health,
    PollAnswer,
    PollResult,
    ReportAnswer,
    ReportOutcome,
    cause_of_poll,
    cause_of_report,
    loggable_detail,
)

VECTOR = "[0.0123, -0.5, 1e-05, 0.25]"


def answer(status: int | None, detail: str, outcome: ReportOutcome = ReportOutcome.RETRY) -> ReportAnswer:
    return ReportAnswer(outcome, Health.UNHEALTHY, status, detail)


def test_why_there_was_no_answer_is_logged() -> None:
    assert loggable_detail(answer(None, "connection refused"), tells_output=False) == "connection refused"


def test_words_of_a_server_error_are_logged() -> None:
    detail = "status 503: upstream connect error, reset reason: overflow"
    assert loggable_detail(answer(503, detail), tells_output=True) == detail


@pytest.mark.parametrize(
    "repeated",
    [
        VECTOR,
        "[0.0123,-0.5,1e-05,0.25",
        "0.0123 -0.5 1e-05 0.25",
        "0.0123;-0.5;1e-05",
        "zczMPc3MzD3NzMw9zczMPc3MzD3NzMw9zczMPc3MzD3NzMw9zczMPc3MzD3NzMw9zczMPQ==",
    ],
)
def test_vector_that_a_server_error_repeats_is_not_logged(repeated: str) -> None:
    detail = loggable_detail(answer(500, f"status 500: cannot store {repeated}"), tells_output=True)
    assert detail.startswith("status 500: cannot store ")
    assert not any(part in detail for part in ("0.0123", "0.5", "1e-05", "zczM"))


def test_words_for_a_message_are_not_logged_as_it_may_quote_a_text() -> None:
    detail = "status 500: cannot store 'bad input: my diary'"
    assert loggable_detail(answer(500, detail), tells_output=False) == "status 500"


def test_words_of_a_refusal_are_not_logged() -> None:
    refused = answer(422, "status 422: result: my diary", ReportOutcome.REJECTED)
    assert loggable_detail(refused, tells_output=True) == "status 422"


def test_what_shows_a_foreign_answer_is_logged() -> None:
    foreign = answer(200, "status 200: an HTML page, 'Log in'", ReportOutcome.FOREIGN)
    assert loggable_detail(foreign, tells_output=False) == "status 200: an HTML page, 'Log in'"


def test_where_a_redirect_leads_is_logged() -> None:
    words = "status 301: redirects to '/api/ai-tasks/17/', not followed: check API_TASK_PATH"
    assert loggable_detail(answer(301, words), tells_output=False) == words


@pytest.mark.parametrize(
    ("status", "outcome", "reason", "setting"),
    [
        (None, ReportOutcome.RETRY, "unreachable", "API_BASE_URL"),
        (401, ReportOutcome.RETRY, "unauthorized", "API_TOKEN"),
        (403, ReportOutcome.RETRY, "unauthorized", "API_TOKEN"),
        (429, ReportOutcome.RETRY, "rate_limited", ""),
        (503, ReportOutcome.RETRY, "server_error", ""),
        (308, ReportOutcome.RETRY, "redirect", "API_BASE_URL"),
        (404, ReportOutcome.FOREIGN, "foreign", "API_BASE_URL"),
    ],
)
def test_cause_of_a_report_says_its_kind_and_the_setting(
    status: int | None, outcome: ReportOutcome, reason: str, setting: str
) -> None:
    cause = cause_of_report(answer(status, "said", outcome), tells_output=True)
    assert (cause.reason, cause.setting) == (reason, setting)


def test_cause_of_a_poll_has_its_words() -> None:
    cause = cause_of_poll(PollAnswer(PollResult.TIMEOUT, Health.UNHEALTHY, 10, 0.0, detail="too slow"))
    assert (cause.reason, cause.detail, cause.setting) == ("timeout", "too slow", "REQUEST_TIMEOUT")
