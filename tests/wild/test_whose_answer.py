"""Rows A1 and A2: what a gateway or firewall says in the API's place settles nothing."""

import threading
import time

import pytest

from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Request
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.world import task_id_of

REDEPLOY_SECONDS = 1.5


class Redeploy:
    """A gateway that answers everything itself for a while, once so many reports have passed."""

    def __init__(self, after_reports: int, says: Answer, seconds: float = REDEPLOY_SECONDS) -> None:
        self._after_reports = after_reports
        self._says = says
        self._seconds = seconds
        self._passed = 0
        self._began_at: float | None = None
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer | None:
        now = time.monotonic()
        with self._lock:
            if self._began_at is None:
                self._passed += request.method == "PATCH"
                if self._passed <= self._after_reports:
                    return None
                self._began_at = now
            return self._says if now < self._began_at + self._seconds else None


@pytest.mark.slow
@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answers.GO_NOT_FOUND, id="go-404-text"),
        pytest.param(answers.FASTAPI_NOT_FOUND, id="json-404", marks=pytest.mark.slow),
        pytest.param(answers.NGINX_GONE, id="nginx-410-page", marks=pytest.mark.slow),
        pytest.param(answers.TRAEFIK_NO_SERVER, id="traefik-503", marks=pytest.mark.slow),
        pytest.param(Answer(404), id="empty-404", marks=pytest.mark.slow),
    ],
)
def test_a01_redeploy_behind_a_gateway_drops_no_result(wild: Wild, says: Answer) -> None:
    texts = wild.api.add(200)
    wild.api.front = Redeploy(24, says)
    wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)


@pytest.mark.slow
def test_a01_task_that_is_gone_and_no_longer_listed_is_forgotten_without_being_bought_again(
    wild: Wild,
) -> None:
    wild.api.add(3)
    withdrawn = "task-2"

    def withdraw(request: Request) -> Answer | None:
        if request.method == "PATCH" and task_id_of(request) == withdrawn:
            wild.api.tasks.pop(withdrawn, None)
        return None

    wild.api.front = withdraw
    service = wild.start()
    wild.api.wait_until_done()
    eventually(
        lambda: service.metrics().sum("ai_reports_total", outcome="gone") == 1,
        what="the report that nobody wants is given up",
    )
    assert wild.provider.paid_again(["text 2"]) == {}


@pytest.mark.slow  # test_gone_reports shows it in simulated time
def test_a01_task_that_is_called_gone_but_listed_is_kept_for_a_person_after_three_times(wild: Wild) -> None:
    wild.api.add(3)

    def deny(request: Request) -> Answer | None:
        denied = request.method == "PATCH" and task_id_of(request) == "task-2"
        return answers.json_answer(409, {"detail": "Conflict"}) if denied else None

    wild.api.front = deny
    service = wild.start()
    eventually(
        lambda: service.metrics().sum("ai_reports_total", outcome="rejected") == 1, what="it is rejected"
    )
    assert sum(patch.task_id == "task-2" for patch in wild.api.patches) == 3
    assert wild.provider.paid_again(["text 2"]) == {}
    assert sorted(wild.api.succeeded()) == ["text 1", "text 3"]


FOREIGN = {
    "aws-waf-challenge": answers.AWS_WAF_CHALLENGE,
    "aws-waf-captcha": answers.AWS_WAF_CAPTCHA,
    "cloudflare-challenge": answers.CLOUDFLARE_CHALLENGE,
    "login-page": answers.LOGIN_PAGE,
    "maintenance-page": answers.MAINTENANCE_PAGE,
    "page-called-json": Answer(200, b"\xef\xbb\xbf<!-- proxy --><html><body>Blocked</body></html>"),
    "fragment": Answer(200, b"<div class='error'>Session expired</div>", answers.HTML),
    "xml": Answer(200, b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', answers.XML),
    "rejected-page": answers.F5_REJECTED,
    "page-422": answers.nginx_page(422, "422 Unprocessable"),
    "login-redirect": Answer(302, b"", {"Location": "https://sso.example.test/login"}),
    "network-login": Answer(511, b"<html><body>Sign on</body></html>", answers.HTML),
    "no-server": answers.TRAEFIK_NO_SERVER,
}
"""Answers that something in front of the API gives in its place."""

RECEIPTS = {
    "json": Answer(200, b'{"id":"1"}'),
    "created": Answer(201, b'{"id":"1"}'),
    "accepted": Answer(202, b'{"queued":true}'),
    "no-content": Answer(204),
    "empty-html": Answer(200, b"", answers.HTML),
    "json-labelled-html": Answer(200, b'{"note":"a < b and <b>c</b>"}', answers.HTML),
    "text": Answer(200, b"OK", answers.PLAIN),
    "null": Answer(200, b"null"),
}
"""Answers of the API itself."""


@pytest.mark.slow
def test_a02_what_a_firewall_says_is_no_receipt_and_what_the_api_says_is_one(wild: Wild) -> None:
    answered: dict[str, list[str]] = {}
    kinds = [*FOREIGN, *RECEIPTS]
    texts = wild.api.add_texts(kinds)

    def firewall(request: Request) -> Answer | None:
        if request.method != "PATCH":
            return None
        kind = wild.api.text_of(task_id_of(request))
        answered.setdefault(kind, []).append(kind)
        if kind in RECEIPTS:
            wild.api.answer(request)
            return RECEIPTS[kind]
        return FOREIGN[kind] if len(answered[kind]) == 1 else None

    wild.api.front = firewall
    service = wild.start(CIRCUIT_BREAKER_RECOVERY_SECONDS="1")
    wild.api.wait_until_done()
    eventually(lambda: service.status()["outbox"] == 0, what="every report was acknowledged")
    assert sorted(wild.api.succeeded()) == sorted(texts)
    assert wild.provider.paid_again(texts) == {}
    assert {kind: len(sent) for kind, sent in answered.items()} == {
        **dict.fromkeys(FOREIGN, 2),
        **dict.fromkeys(RECEIPTS, 1),
    }
    told = service.metrics()
    assert told.sum("ai_reports_total", outcome="foreign") >= 10, "the answers were told apart"
    assert told.sum("ai_reports_total", outcome="done") == len(texts)
    assert told.sum("ai_reports_total", outcome="rejected") == 0


@pytest.mark.slow
def test_a02_firewall_in_front_of_polls_is_no_empty_list(wild: Wild) -> None:
    wild.api.front = lambda request: answers.LOGIN_PAGE if request.method == "GET" else None
    service = wild.start()
    eventually(lambda: service.log_lines("poll_failed"), what="the poll is said to have failed")
    assert service.metrics().sum("ai_polls_total", result="empty") == 0


@pytest.mark.slow
@pytest.mark.parametrize("methods", [("PATCH",), ("PATCH", "GET")], ids=["reports-only", "polls-too"])
def test_a18_outage_of_twenty_seconds_is_over_within_ten_of_its_end(
    wild: Wild, methods: tuple[str, ...]
) -> None:
    """With the defaults: a breaker that recovers in 60 s at the most."""
    busy = answers.json_answer(503, {"error": "the database is restarting"})
    down = False
    wild.api.front = lambda request: busy if down and request.method in methods else None
    texts = wild.api.add(100)
    service = wild.start(CIRCUIT_BREAKER_RECOVERY_SECONDS="60", BATCH_MAX_TASKS="10")
    down = True
    eventually(lambda: "api_circuit_open" in service.not_ready(), what="the outage is seen")
    wild.watch(20.0)
    down = False
    wild.api.add(20, "later")
    wild.api.wait_until_done(10.0)
    assert wild.api.failed() == {}
    assert wild.provider.paid_again(texts) == {}
