"""Rows A1 and A2: what a gateway or firewall says in the API's place settles nothing."""

import time

import pytest

from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Request
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.world import task_id_of


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
    eventually(lambda: not service.status()["outbox"], what="the report that nobody wants is given up")
    assert wild.provider.paid_again(["text 2"]) == {}
    assert service.metrics().sum("ai_reports_total", outcome="gone") == 1


def test_a02_firewall_pages_are_no_receipt(wild: Wild) -> None:
    texts = wild.api.add(40)
    pages = [
        answers.AWS_WAF_CHALLENGE,
        answers.AWS_WAF_CAPTCHA,
        answers.CLOUDFLARE_CHALLENGE,
        answers.LOGIN_PAGE,
        answers.MAINTENANCE_PAGE,
    ]
    ends_at = 0.0

    def firewall(request: Request) -> Answer | None:
        nonlocal ends_at
        if request.method != "PATCH":
            return None
        ends_at = ends_at or time.monotonic() + 1.0
        place = int(task_id_of(request).removeprefix("task-"))
        return pages[place % len(pages)] if time.monotonic() < ends_at else None

    wild.api.front = firewall
    service = wild.start()
    wild.api.wait_until_done()
    assert wild.api.failed() == {}
    assert sorted(wild.api.succeeded()) == sorted(texts)
    assert wild.provider.paid_again(texts) == {}
    told = service.metrics()
    assert told.sum("ai_reports_total", outcome="foreign") >= 5, "the answers were told apart"
    assert told.sum("ai_reports_total", outcome="done") == 40


@pytest.mark.slow
def test_a02_firewall_in_front_of_polls_is_no_empty_list(wild: Wild) -> None:
    wild.api.front = lambda request: answers.LOGIN_PAGE if request.method == "GET" else None
    service = wild.start()
    eventually(lambda: service.log_lines("poll_failed"), what="the poll is said to have failed")
    assert service.metrics().sum("ai_polls_total", result="empty") == 0
