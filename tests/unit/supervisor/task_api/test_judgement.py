"""What each response of the task API means for a poll and for a report."""

from dataclasses import replace

import pytest

from supervisor.task_api.http.exchange import FailedStep, FixedToken, NoResponse, Response
from supervisor.task_api.responses import (
    Health,
    PollAnswer,
    PollRequest,
    PollResult,
    ReportAnswer,
    ReportOutcome,
    classify_poll,
    classify_report,
)

URL = "https://api.test/api/ai-tasks/pending"
HTML = b"<!doctype html><html><title>Please wait</title></html>"


def response(
    status: int, body: bytes = b"", *, complete: bool = True, took_seconds: float = 0.1, **headers: str
) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, body, complete, began_at=5.0, took_seconds=took_seconds)


def poll(got: Response | NoResponse, held_seconds: float = 0.0) -> PollAnswer:
    return classify_poll(got, PollRequest(100, held_seconds), URL, FixedToken(""))


def report(got: Response | NoResponse) -> ReportAnswer:
    return classify_report(got, "https://api.test/api/ai-tasks/7", str)


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 206, 400, 403, 404, 409, 410, 412, 422, 500, 502, 503]
)
def test_html_settles_no_report(status: int) -> None:
    answer = report(response(status, HTML, retry_after="7"))
    assert (answer.outcome, answer.health, answer.status) == (
        ReportOutcome.FOREIGN,
        Health.UNHEALTHY,
        status,
    )
    assert "Please wait" in answer.detail
    assert answer.retry_after_seconds == 7.0


@pytest.mark.parametrize("status", [401, 429])
def test_page_that_asks_for_a_key_or_for_patience_is_taken_at_its_word(status: int) -> None:
    answer = report(response(status, HTML, retry_after="7"))
    assert (answer.outcome, answer.health) == (ReportOutcome.RETRY, Health.UNKNOWN)
    assert answer.retry_after_seconds == 7.0


@pytest.mark.parametrize("body", [b"", b"OK", b"{}", b'{"html":"<html>"}', b"null", b"[]"])
def test_json_text_or_nothing_is_done_however_it_is_labelled(body: bytes) -> None:
    answer = report(response(200, body, content_type="text/html", retry_after="7"))
    assert (answer.outcome, answer.health) == (ReportOutcome.DONE, Health.HEALTHY)
    assert answer.retry_after_seconds is None


def test_answers_say_when_the_request_began() -> None:
    assert report(response(200)).began_at == 5.0
    assert poll(response(200)).began_at == 5.0
    assert report(NoResponse(FailedStep.TIMEOUT, "late", 6.0, 1.0)).began_at == 6.0
    assert poll(NoResponse(FailedStep.TIMEOUT, "late", 6.0, 1.0)).began_at == 6.0


@pytest.mark.parametrize(
    "got",
    [
        response(204),
        response(200),
        response(200, b" \r\n" * 1000),
        response(200, b"null"),
        response(200, b" null\n"),
        response(202),
    ],
)
def test_nothing_pending_may_be_said_by_nothing(got: Response) -> None:
    assert (poll(got).result, poll(got).health) == (PollResult.EMPTY, Health.HEALTHY)


@pytest.mark.parametrize(
    ("status", "limit", "lacks"),
    [
        (404, 100, True),
        (405, 100, True),
        (501, 100, True),
        (409, 100, True),
        (415, 100, True),
        (400, 100, False),  # it may be the limit
        (422, 100, False),
        (400, 1, True),
        (422, 1, True),
        (401, 1, False),
        (403, 1, False),
        (408, 1, False),
        (429, 1, False),
        (500, 1, False),
        (302, 1, False),
    ],
)
def test_a_claim_that_no_limit_makes_right_is_none_of_the_api_s(status: int, limit: int, lacks: bool) -> None:
    answer = classify_poll(response(status), PollRequest(limit, claims=True), URL, FixedToken(""))
    assert answer.lacks_claim == lacks
    assert not poll(response(status)).lacks_claim, "the page of pending tasks is no option"


@pytest.mark.parametrize("body", [b"[]", b" " * 1000 + b"[]", b"nonsense", b"nullable"])
def test_all_else_is_for_the_reader_of_pages(body: bytes) -> None:
    assert poll(response(200, body)).result is PollResult.TASKS


@pytest.mark.parametrize("status", [200, 202, 403, 404, 500, 502, 503])
def test_html_is_no_page_of_tasks(status: int) -> None:
    answer = poll(response(status, HTML, retry_after="9"))
    assert (answer.result, answer.health) == (PollResult.FOREIGN, Health.UNHEALTHY)
    assert "Please wait" in answer.detail
    assert "API_BASE_URL" in answer.detail
    assert answer.retry_after_seconds == 9.0


@pytest.mark.parametrize(
    "got",
    [
        response(400),
        response(413),
        response(414),
        response(422, b'{"detail":"limit"}'),
        response(504),
        response(500),
        response(200, b"[" * 100, complete=False),
        NoResponse(FailedStep.TIMEOUT, "late", 5.0, 1.0),
        NoResponse(FailedStep.RESPONSE, "it broke off", 5.0, 1.0),
    ],
)
def test_limit_may_have_been_too_much(got: Response | NoResponse) -> None:
    assert poll(got).too_much


@pytest.mark.parametrize(
    "got",
    [
        response(200, b"[]"),
        response(401),
        response(403),
        response(404),
        response(429),
        response(503),
        NoResponse(FailedStep.CONNECT, "refused", 5.0, 1.0),
        NoResponse(FailedStep.NOT_SENT, "no token", 5.0, 1.0),
    ],
)
def test_limit_was_not_the_trouble(got: Response | NoResponse) -> None:
    assert not poll(got).too_much


@pytest.mark.parametrize(
    ("got", "result"),
    [
        (response(504, took_seconds=30.0), PollResult.SERVER_ERROR),
        (response(504, HTML, took_seconds=30.0), PollResult.SERVER_ERROR),
        (response(524, HTML, took_seconds=30.0), PollResult.SERVER_ERROR),
        (NoResponse(FailedStep.RESPONSE, "hung up", 5.0, 30.0), PollResult.UNREACHABLE),
        (NoResponse(FailedStep.TIMEOUT, "late", 5.0, 30.0), PollResult.TIMEOUT),
    ],
)
def test_held_poll_that_is_cut_off_says_nothing_of_the_api(
    got: Response | NoResponse, result: PollResult
) -> None:
    answer = poll(got, held_seconds=60.0)
    assert (answer.result, answer.health, answer.took_seconds) == (result, Health.UNKNOWN, 30.0)
    assert poll(got, held_seconds=0.0).health is Health.UNHEALTHY


@pytest.mark.parametrize(
    "got",
    [
        response(504, took_seconds=0.1),
        response(500, took_seconds=30.0),
        NoResponse(FailedStep.CONNECT, "refused", 5.0, 30.0),
        NoResponse(FailedStep.RESPONSE, "hung up", 5.0, 0.1),
    ],
)
def test_trouble_of_another_kind_in_a_held_poll_is_the_apis(got: Response | NoResponse) -> None:
    assert poll(got, held_seconds=60.0).health is Health.UNHEALTHY


def test_what_was_held_back_here_says_nothing_of_the_api() -> None:
    got = NoResponse(FailedStep.NOT_SENT, "the token endpoint answered 401", 5.0, 0.0, 4.0)
    assert (poll(got).result, poll(got).health) == (PollResult.UNAUTHORIZED, Health.UNKNOWN)
    assert (report(got).outcome, report(got).health) == (ReportOutcome.RETRY, Health.UNKNOWN)
    assert (poll(got).retry_after_seconds, report(got).retry_after_seconds) == (4.0, 4.0)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/api/ai-tasks/pending", "'/api/ai-tasks/pending',"),
        ("https://sso.test/api/ai-tasks/pending/", "'https://sso.test/api/ai-tasks/pending/',"),
        ("https://sso.test/login?secret=1", "'https://sso.test/login',"),
        ("//sso.test:8443/login", "'https://sso.test:8443/login',"),
        ("http://user:secret@api.test/x", "'http://api.test/x',"),
        ("", "to nowhere"),
        ("http://[bad", "an address that is none"),
        ("https://api.test:99999999/x", "an address that is none"),
        ("/\x1b[31m", r"\x1b[31m"),
    ],
)
def test_redirect_is_named_with_its_path_and_without_its_query(location: str, words: str) -> None:
    answer = poll(response(301, b"<html>moved</html>", location=location))
    assert (answer.result, answer.health) == (PollResult.REDIRECT, Health.UNKNOWN)
    assert words in answer.detail
    assert "secret" not in answer.detail
    assert answer.detail.endswith("not followed: check API_BASE_URL")
    patch = report(response(308, b"<html>moved</html>", location=location))
    assert (patch.outcome, patch.health) == (ReportOutcome.RETRY, Health.UNKNOWN)
    assert words in patch.detail
    assert "secret" not in patch.detail


@pytest.mark.parametrize("host", ["", "//api.test", "https://api.test"])
def test_redirect_to_a_slash_at_the_end_names_the_setting_of_the_path(host: str) -> None:
    said = "redirects to '{}', the same but for a slash at the end, not followed: check {}"
    moved = response(301, location=f"{host}/api/ai-tasks/pending/?limit=1")
    assert poll(moved).detail.endswith(said.format("/api/ai-tasks/pending/", "API_PENDING_PATH"))
    moved = response(301, location=f"{host}/api/ai-tasks/7/")
    assert report(moved).detail.endswith(said.format("/api/ai-tasks/7/", "API_TASK_PATH"))


def test_detail_is_one_bounded_line_of_the_first_words() -> None:
    answer = report(response(422, b"bad\r\n\x1b[31m  vector \x00" + b"x" * 100_000))
    assert answer.detail.startswith("status 422: bad [31m vector xxx")
    assert len(answer.detail) == 300


def test_body_whose_encoding_cannot_be_undone_leaves_the_word_to_the_status() -> None:
    unreadable = Response(200, {"content-encoding": "gzip"}, b"", True, 5.0, 0.1, "content encoding 'gzip'")
    assert (poll(unreadable).result, poll(unreadable).health) == (PollResult.BAD_PAGE, Health.HEALTHY)
    assert "gzip" in poll(unreadable).detail
    assert report(unreadable).outcome is ReportOutcome.DONE
    page = replace(unreadable, headers={"content-type": "text/html", "content-encoding": "gzip"})
    assert report(page).outcome is ReportOutcome.FOREIGN
