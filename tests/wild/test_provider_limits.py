"""Rows of B: limits of a provider, said by headers or by refusals, and its errors in every shape."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.eventually import eventually
from tests.stubs.scripted_http import Answer
from tests.wild import answers
from tests.wild.conftest import Wild, run_wild
from tests.wild.provider import Call

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["dashscope", pytest.param("tei", marks=pytest.mark.slow)])
def test_b_ten_inputs_a_call_are_learned(wild: Wild, kind: str) -> None:
    def small(call: Call) -> Answer | None:
        if len(call.texts) <= 10:
            return None
        tei = answers.tei_batch_too_large(len(call.texts), 10)
        return tei if kind == "tei" else answers.dashscope_batch_too_large(10)

    wild.provider.front = small
    texts = wild.api.add(1000)
    service = wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert len(wild.provider.calls) <= 150
    assert service.log_lines("limit_learned"), "what was learned is logged"


def test_b_retry_after_zero_of_a_provider_is_no_invitation_to_hammer(wild: Wild) -> None:
    refused = answers.openai_error(
        429, "Rate limit reached", code="rate_limit_exceeded", headers={"Retry-After": "0"}
    )
    wild.provider.front = lambda _: refused
    wild.api.add(40)
    wild.start(BATCH_MAX_TASKS="10", CONCURRENCY_LIMIT="2")
    eventually(lambda: wild.provider.calls, what="the first call")
    wild.watch(3.5)
    assert len(wild.provider.calls) <= 8
    assert wild.api.final == {}


class Window:
    """A limit of two requests that is full again after half a second, said as Groq says it."""

    MOST = 2
    SECONDS = 0.5

    def __init__(self, wild: Wild) -> None:
        self._wild = wild
        self._room = float(self.MOST)
        self._at = time.monotonic()
        self._lock = threading.Lock()
        self.refused = 0

    def __call__(self, call: Call) -> Answer:
        with self._lock:
            now = time.monotonic()
            self._room = min(self.MOST, self._room + (now - self._at) * self.MOST / self.SECONDS)
            self._at = now
            taken = self._room >= 1
            self._room -= taken
            self.refused += not taken
            headers = {
                "x-ratelimit-limit-requests": str(self.MOST),
                "x-ratelimit-remaining-requests": str(int(self._room)),
                "x-ratelimit-reset-requests": f"{(self.MOST - self._room) * 250:.0f}ms",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": "5990",
                "x-ratelimit-reset-tokens": "70ms",
            }
        if taken:
            return Answer(200, self._wild.provider.good(call).body, headers)
        return answers.openai_error(
            429,
            "Rate limit reached for model in organization on requests per minute (RPM): Limit 2, Used 2, "
            "Requested 1. Please try again in 250ms.",
            code="rate_limit_exceeded",
            kind="requests",
            headers={**headers, "retry-after": "1"},
        )


def test_b_window_of_half_a_second_is_used_and_not_overrun(wild: Wild) -> None:
    """Twelve calls at four a second: 2.5 s at best."""
    wild.provider.front = window = Window(wild)
    texts = wild.api.add(60)
    wild.start(BATCH_MAX_TASKS="5", CONCURRENCY_LIMIT="3")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert wild.provider.calling_seconds() < 6
    assert window.refused <= 4


@pytest.mark.slow
def test_b_limits_by_the_day_are_not_taken_for_limits_by_the_minute(wild: Wild) -> None:
    """Groq's headers: requests by the day, tokens by the minute."""
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "2h17m33.5s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "7.66ms",
    }
    wild.provider.front = lambda call: Answer(200, wild.provider.good(call).body, headers)
    texts = wild.api.add(100)
    wild.start(BATCH_MAX_TASKS="5")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert wild.provider.calling_seconds() < 6


ERROR_BODIES = {
    "fastapi-list": answers.json_answer(
        422, {"detail": [{"type": "too_short", "loc": ["body", "input", 0], "msg": "words of a list"}]}
    ),
    "fastapi-dict": answers.json_answer(400, {"detail": {"reason": "words of a dict"}}),
    "fastapi-string": answers.json_answer(400, {"detail": "words of a detail"}),
    "errors-list": answers.json_answer(400, {"errors": [{"title": "words of errors"}]}),
    "errors-strings": answers.json_answer(400, {"errors": ["words of errors"]}),
    "msg": answers.json_answer(400, {"code": 10, "msg": "words of msg"}),
    "message-upper": answers.json_answer(400, {"Message": "words of Message"}),
    "message-list": answers.json_answer(400, {"message": ["words of a message list"], "statusCode": 400}),
    "error-string": answers.json_answer(400, {"error": "words of an error", "error_type": "Validation"}),
    "error-nested": answers.json_answer(400, {"error": {"message": {"text": "words nested"}}}),
    "bare-string": answers.json_answer(400, "words of a string"),
    "list-of-errors": answers.json_answer(400, [{"error": {"message": "words of a list", "code": 400}}]),
    "plain-text": Answer(400, b"words of a text\nand a second line", answers.PLAIN),
    "unknown-json": answers.json_answer(400, {"whatever": {"deep": "words in the deep"}}),
}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wild]:
    """A running service. The model chooses the refusal; a text that is no task's is served."""
    with run_wild(tmp_path_factory.mktemp("refusing")) as wild:
        wild.provider.front = lambda call: (
            REFUSALS.get(call.model) if any(text.startswith("of ") for text in call.texts) else None
        )
        wild.start(CIRCUIT_BREAKER_THRESHOLD="100", CONCURRENCY_LIMIT="1", MAX_RETRIES="1")
        yield wild


NO_SUCH_MODEL = "no-such-model"
HTML_500 = "html-500"
REFUSALS = {
    **ERROR_BODIES,
    NO_SUCH_MODEL: answers.openai_no_model(400, NO_SUCH_MODEL),
    HTML_500: answers.nginx_page(500, "500 Words of a page"),
}


def failures_of(refusing: Wild, texts: list[str]) -> list[str]:
    eventually(lambda: set(texts) <= set(refusing.api.failed()), 30.0, "the tasks are failed")
    return [refusing.api.failed()[text] for text in texts]


@pytest.mark.parametrize("model", ERROR_BODIES)
def test_b_first_words_of_every_error_body_are_kept(refusing: Wild, model: str) -> None:
    [message] = failures_of(refusing, refusing.api.add(1, f"of {model}", model=model))
    assert "words" in message.lower()
    assert "without a reason" not in message


def test_b_first_words_of_an_error_page_are_kept_without_its_tags(refusing: Wild) -> None:
    [message] = failures_of(refusing, refusing.api.add(1, "of html", model=HTML_500))
    assert "Words of a page" in message
    assert "<" not in message


def test_b_unknown_model_said_with_400_is_not_split(refusing: Wild) -> None:
    messages = failures_of(refusing, refusing.api.add(8, "of no model", model=NO_SUCH_MODEL))
    assert all("does not exist" in message for message in messages)
    assert len([call for call in refusing.provider.calls if call.model == NO_SUCH_MODEL]) <= 2
