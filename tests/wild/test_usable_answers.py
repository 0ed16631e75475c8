"""Rows A7, A9, A10 and A11: an unusual answer is used where it is certain what it says."""

import gzip
from pathlib import Path

import pytest

from tests.acceptance.service import ServiceProcess
from tests.stubs.scripted_http import Answer, Request
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.provider import Call


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answers.VLLM_NO_BASE64, id="vllm"),
        pytest.param(answers.MISTRAL_EXTRA_FIELD, id="mistral", marks=pytest.mark.slow),
        pytest.param(answers.LITELLM_NO_ENCODING_FORMAT, id="litellm", marks=pytest.mark.slow),
    ],
)
def test_a07_encoding_format_that_is_refused_is_left_out_from_then_on(wild: Wild, says: Answer) -> None:
    wild.provider.front = lambda call: says if call.encoding_format else None
    texts = wild.api.add(30)
    service = wild.start(CONCURRENCY_LIMIT="1", BATCH_MAX_TASKS="10")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    wild.assert_right_vectors(texts)
    assert [bool(call.encoding_format) for call in wild.provider.calls] == [True, False, False, False]
    assert service.log_lines("breaker_changed") == []


@pytest.mark.slow
def test_a10_page_that_inflates_without_end_is_refused(wild: Wild) -> None:
    bomb = gzip.compress(b"[" + b" " * (200 * 2**20))
    refused = False

    def explode(request: Request) -> Answer | None:
        nonlocal refused
        if request.method != "GET" or refused:
            return None
        refused = True
        return Answer(200, bomb, {"Content-Encoding": "gzip"})

    wild.api.front = explode
    texts = wild.api.add(3)
    service = wild.start()
    wild.api.wait_until_done(30.0)
    wild.assert_each_succeeded_once(texts)
    assert peak_memory_megabytes(service) < 350


def peak_memory_megabytes(service: ServiceProcess) -> float:
    for line in Path(f"/proc/{service.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def openrouter(code: int | str, message: str) -> Answer:
    """OpenRouter and others say an upstream's error in a 200."""
    return answers.json_answer(200, {"error": {"message": message, "code": code}, "user_id": "user_2x"})


def test_a11_error_in_a_200_is_the_error_that_it_says(wild: Wild) -> None:
    busy = openrouter(429, "Provider returned error: rate limited upstream")
    refused = openrouter("400", "Input contains what the model cannot take")
    seen: set[tuple[str, ...]] = set()

    def upstream(call: Call) -> Answer | None:
        if "bad 1" in call.texts:
            return refused
        if call.texts not in seen:
            seen.add(call.texts)
            return busy
        return None

    wild.provider.front = upstream
    good, bad = wild.api.add(5, "good"), wild.api.add(1, "bad", model="other")
    service = wild.start(MAX_RETRIES="0", CIRCUIT_BREAKER_THRESHOLD="2")
    wild.api.wait_until_done()
    assert sorted(wild.api.succeeded()) == good
    assert list(wild.api.failed()) == bad
    assert "cannot take" in wild.api.failed()["bad 1"]
    assert service.log_lines("breaker_changed") == []


@pytest.mark.slow
def test_a11_wrong_key_said_in_a_200_holds_the_provider(wild: Wild) -> None:
    wild.provider.front = lambda _: openrouter(401, "No auth credentials found")
    wild.api.add(5)
    service = wild.start()
    assert "No auth credentials" in service.wait_for_log("provider_held")["message"]
    assert wild.api.final == {}
