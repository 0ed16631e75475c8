"""Rows A4, A13, A15, A16, A18 and A19: what the other side can take is learned."""

import threading
import time

import pytest

from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Request
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.provider import Call
from tests.wild.world import limit_of

pytestmark = pytest.mark.slow


def slow_per_text(wild: Wild, seconds: float) -> None:
    """A server that takes so long for each text of a call."""

    def compute(call: Call) -> Answer | None:
        wild.provider_server.closing.wait(seconds * len(call.texts))
        return None

    wild.provider.front = compute


def test_a04_slow_server_gets_calls_that_it_can_finish_in_time(wild: Wild) -> None:
    slow_per_text(wild, 0.02)
    texts = wild.api.add(120)
    service = wild.start(OPENAI_TIMEOUT="1", CONCURRENCY_LIMIT="1")
    wild.api.wait_until_done()
    assert wild.api.failed() == {}
    assert sorted(wild.api.succeeded()) == sorted(texts)
    assert service.log_lines("breaker_changed") == []


@pytest.mark.slow
def test_a04_slow_server_is_served_near_its_own_pace(wild: Wild) -> None:
    slow_per_text(wild, 0.1)
    wild.api.add(200)
    service = wild.start(OPENAI_TIMEOUT="4", CONCURRENCY_LIMIT="1", RETRY_BACKOFF_FACTOR="2")
    wild.api.wait_until_done(55.0)
    assert wild.provider.calling_seconds() < 1.5 * 20
    assert wild.api.failed() == {}
    assert service.log_lines("breaker_changed") == []


def test_a13_request_too_large_for_the_minute_is_halved_until_it_fits(wild: Wild) -> None:
    def limited(call: Call) -> Answer | None:
        tokens = 100 * len(call.texts)
        return answers.tokens_a_minute(1000, tokens) if tokens > 1000 else None

    wild.provider.front = limited
    texts = wild.api.add(50)
    service = wild.start(CONCURRENCY_LIMIT="1")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert sum(call.texts[0] in texts for call in wild.provider.calls) <= 20
    assert service.log_lines("breaker_changed") == []


@pytest.mark.slow
def test_a13_lone_text_that_never_passes_fails_while_others_succeed(wild: Wild) -> None:
    too_long = answers.tokens_a_minute(1000, 1200)
    wild.provider.front = lambda call: too_long if "long 1" in call.texts else None
    long, short = wild.api.add(1, "long"), wild.api.add(20, "short")
    wild.start(CONCURRENCY_LIMIT="1")
    eventually(lambda: sorted(wild.api.succeeded()) == sorted(short), 30.0, "the others succeed")
    for number in range(40):
        wild.api.add(1, f"later {number}")
        if wild.api.failed():
            break
        time.sleep(1)
    assert list(wild.api.failed()) == long
    assert "Request too large" in wild.api.failed()["long 1"]


def test_a15_page_that_takes_too_long_is_asked_for_smaller(wild: Wild) -> None:
    """10 ms a task; the first page of 800 would take 8 s."""

    def slow_page(request: Request) -> Answer | None:
        if request.method == "GET":
            listed = min(limit_of(request), len(wild.api.pending()))
            wild.api_server.closing.wait(0.01 * listed)
        return None

    wild.api.front = slow_page
    texts = wild.api.add(300)
    service = wild.start(REQUEST_TIMEOUT="1")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert sum(line["result"] == "timeout" for line in service.log_lines("poll_failed")) <= 6


@pytest.mark.slow
def test_a15_page_that_is_too_large_is_asked_for_smaller(wild: Wild) -> None:
    texts = wild.api.add_texts(f"{number} " + "x" * 60_000 for number in range(1_900))
    wild.provider.front = lambda _: None
    wild.start(CONCURRENCY_LIMIT="5", LONG_TEXT="mean", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    eventually(
        lambda: any(0 < poll.limit < 1_500 for poll in wild.api.polls), 40.0, "a smaller page is asked for"
    )
    assert texts


@pytest.mark.parametrize(
    ("most", "says"),
    [
        pytest.param(100, lambda limit: answers.fastapi_limit(limit, 100), id="fastapi-422"),
        pytest.param(50, lambda _: answers.nestjs_limit(50), id="nestjs-400", marks=pytest.mark.slow),
        pytest.param(
            30,
            lambda _: answers.nginx_page(413, "413 Request Entity Too Large"),
            id="nginx-413",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a16_limit_that_the_api_refuses_is_made_smaller(wild: Wild, most: int, says: object) -> None:
    assert callable(says)

    def guarded(request: Request) -> Answer | None:
        if request.method == "GET" and limit_of(request) > most:
            answer = says(limit_of(request))
            assert isinstance(answer, Answer)
            return answer
        return None

    wild.api.front = guarded
    texts = wild.api.add(300)
    service = wild.start(CIRCUIT_BREAKER_RECOVERY_SECONDS="60")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    refused = [poll for poll in wild.api.polls if poll.status_code >= 400]
    assert len(refused) <= 8, [poll.limit for poll in refused]
    assert max(poll.limit for poll in wild.api.polls if poll.status_code == 200) > most / 4
    eventually(lambda: service.not_ready() == [], what="the service is ready")


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


def test_a18_load_shedding_slows_the_pace_and_nothing_else(wild: Wild) -> None:
    """nginx's limit_req with 50 a second and a burst of 10: 2 s for 110 reports at best."""
    wild.api.front = Shedder(50, 10, answers.NGINX_SHEDS)
    texts = wild.api.add(110)
    service = wild.start(CIRCUIT_BREAKER_RECOVERY_SECONDS="60")
    wild.api.wait_until_done()
    assert wild.api.reporting_seconds() < 6
    wild.assert_each_succeeded_once(texts)
    assert service.log_lines("breaker_changed") == []


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
    wild.api.wait_until_done(50.0)
    assert wild.api.reporting_seconds() < (20 if "Retry-After" in says.headers else 15)
    wild.assert_each_succeeded_once(texts)
    assert wild.api.refused_patches() < 250
    assert service.log_lines("breaker_changed") == []


def test_b_one_429_pauses_all_reports(wild: Wild) -> None:
    says = answers.json_answer(429, {"message": "Too Many Requests"}, {"Retry-After": "1"})
    shedder = Shedder(1000, 60, says)
    wild.api.front = shedder
    texts = wild.api.add(200)
    wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert wild.api.refused_patches() <= 60


def test_a19_retry_after_wins_over_the_reset_of_a_window(wild: Wild) -> None:
    refused = answers.openai_error(
        429,
        "Rate limit reached for text-embedding-3-small",
        code="rate_limit_exceeded",
        kind="tokens",
        headers={
            "Retry-After": "1",
            "x-ratelimit-limit-tokens": "1000000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-limit-requests": "3000",
            "x-ratelimit-remaining-requests": "2999",
            "x-ratelimit-reset-requests": "20ms",
        },
    )
    wild.provider.front = lambda _: refused if len(wild.provider.calls) <= 2 else None
    texts = wild.api.add(40)
    wild.start(BATCH_MAX_TASKS="10")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert wild.provider.calling_seconds() < 6
