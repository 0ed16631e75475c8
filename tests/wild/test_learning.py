"""Rows A4, A13, A15, A16, A18 and A19: what the other side can take is learned."""

import threading
import time

import pytest

from tests.stubs.scripted_http import Answer, Request
from tests.wild import answers
from tests.wild.conftest import Wild


class Shedder:
    """Lets so many reports a second pass, and a burst; the others are turned away."""

    def __init__(self, per_second: float, burst: int, says: Answer) -> None:
        self._per_second = per_second
        self._room = self._burst = float(burst)
        self._says = says
        self._filled_at = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer | None:
        if request.method != "PATCH":
            return None
        with self._lock:
            now = time.monotonic()
            self._room = min(self._burst, self._room + (now - self._filled_at) * self._per_second)
            self._filled_at = now
            if self._room < 1:
                return self._says
            self._room -= 1
            return None


@pytest.mark.slow
@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answers.NGINX_SHEDS, id="nginx-503"),
        pytest.param(answers.nginx_page(429, "429 Too Many Requests"), id="nginx-429"),
        pytest.param(
            answers.json_answer(429, {"message": "slow"}, {"Retry-After": "1"}), id="429-retry-after"
        ),
    ],
)
def test_a18_five_hundred_reports_at_fifty_a_second(wild: Wild, says: Answer) -> None:
    wild.api.front = Shedder(50, 10, says)
    texts = wild.api.add(500)
    service = wild.start(CONCURRENCY_LIMIT="5", CIRCUIT_BREAKER_RECOVERY_SECONDS="60")
    service.wait_until_ready()
    began_at = time.monotonic()
    wild.api.wait_until_done(50.0)
    assert time.monotonic() - began_at < (20 if "Retry-After" in says.headers else 15)
    wild.assert_each_succeeded_once(texts)
    assert wild.api.refused_patches() < 250
    assert service.log_lines("breaker_changed") == []


def test_b_one_429_pauses_all_reports(wild: Wild) -> None:
    says = answers.json_answer(429, {"message": "Too Many Requests"}, {"Retry-After": "1"})
    shedder = Shedder(1000, 60, says)
    wild.api.front = shedder
    texts = wild.api.add(200)
    wild.start()
    wild.api.wait_until_done(20.0)
    wild.assert_each_succeeded_once(texts)
    assert wild.api.refused_patches() <= 60
