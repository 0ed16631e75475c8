"""Rows A7, A9, A10 and A11: an unusual answer is used where it is certain what it says."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import Json, ServiceProcess
from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Request
from tests.wild import answers
from tests.wild.conftest import Wild, run_wild
from tests.wild.provider import Call, Provider

Edit = Callable[[Json], None]


@pytest.fixture(scope="module")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wild]:
    """A running service. The model chooses what the provider does, so that each test has its own batch."""
    with run_wild(tmp_path_factory.mktemp("tolerant")) as wild:
        wild.provider.front = lambda call: ANSWERS[call.model](wild.provider, call)
        wild.start(CIRCUIT_BREAKER_THRESHOLD="100", CONCURRENCY_LIMIT="1")
        yield wild


def edited(edit: Edit) -> Callable[[Provider, Call], Answer]:
    return lambda provider, call: provider.good(call, edit)


def without_any_index(body: Json) -> None:
    for item in body["data"]:
        del item["index"]


def without_zero(body: Json) -> None:
    """Protobuf leaves out what is zero."""
    del body["data"][0]["index"]


def null_everywhere(body: Json) -> None:
    for item in body["data"]:
        item["index"] = None


def index_as_string(body: Json) -> None:
    for item in body["data"]:
        item["index"] = str(item["index"])


def reversed_with_zero_missing(body: Json) -> None:
    without_zero(body)
    body["data"].reverse()


def float_usage(body: Json) -> None:
    body["usage"] = {"prompt_tokens": 12.0, "total_tokens": 12.0}


def null_usage(body: Json) -> None:
    body["usage"] = None


def no_object_names(body: Json) -> None:
    """No `object` anywhere, as small servers answer."""
    del body["object"]
    for item in body["data"]:
        del item["object"]


def declared_but_plain(provider: Provider, call: Call) -> Answer:
    good = provider.good(call)
    return Answer(200, good.body, {"Content-Encoding": "gzip"})


def deflated(provider: Provider, call: Call) -> Answer:
    good = provider.good(call)
    assert isinstance(good.body, bytes)
    return Answer(200, zlib.compress(good.body), {"Content-Encoding": "deflate"})


def in_two_members(provider: Provider, call: Call) -> Answer:
    good = provider.good(call)
    assert isinstance(good.body, bytes)
    body = gzip.compress(good.body[:40]) + gzip.compress(good.body[40:])
    return Answer(200, body, {"Content-Encoding": "gzip"})


def labelled_as_text(provider: Provider, call: Call) -> Answer:
    return Answer(200, provider.good(call).body, answers.PLAIN)


def with_byte_order_mark(provider: Provider, call: Call) -> Answer:
    good = provider.good(call)
    assert isinstance(good.body, bytes)
    return Answer(200, b"\xef\xbb\xbf" + good.body)


ANSWERS: dict[str, Callable[[Provider, Call], Answer]] = {
    "no-index": edited(without_any_index),
    "zero-left-out": edited(without_zero),
    "zero-left-out-reversed": edited(reversed_with_zero_missing),
    "null-everywhere": edited(null_everywhere),
    "string-index": edited(index_as_string),
    "float-usage": edited(float_usage),
    "null-usage": edited(null_usage),
    "no-object-names": edited(no_object_names),
    "gzip": lambda provider, call: answers.gzipped(provider.good(call)),
    "gzip-in-two-members": in_two_members,
    "gzip-declared-only": declared_but_plain,
    "deflate": deflated,
    "text-plain": labelled_as_text,
    "byte-order-mark": with_byte_order_mark,
}


@pytest.mark.parametrize("model", ANSWERS)
def test_a09_a10_unusual_answer_is_used_as_it_is(tolerant: Wild, model: str) -> None:
    texts = tolerant.api.add(5, f"of {model}", model=model)
    eventually(
        lambda: set(texts) <= {*tolerant.api.succeeded(), *tolerant.api.failed()}, 30.0, "the tasks are done"
    )
    assert not set(texts) & set(tolerant.api.failed())
    assert tolerant.provider.paid_again(texts) == {}
    assert max(len(call.texts) for call in tolerant.provider.calls if call.model == model) > 1
    tolerant.assert_right_vectors(texts)


@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a09_same_index_on_several_is_asked_for_in_smaller_calls(wild: Wild, index: int) -> None:
    """It is certain whose vector is whose once a text is alone."""

    def same(body: Json) -> None:
        for item in body["data"]:
            item["index"] = index

    wild.provider.front = lambda call: wild.provider.good(call, same) if len(call.texts) > 1 else None
    texts = wild.api.add(8)
    wild.start()
    wild.api.wait_until_done()
    assert wild.api.failed() == {}
    wild.assert_right_vectors(texts)


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
def test_a10_api_that_compresses_everything_is_read(wild: Wild) -> None:
    texts = wild.api.add(30)
    answer = wild.api.answer
    wild.api.front = lambda request: answers.gzipped(answer(request))
    service = wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert service.log_lines("poll_failed") == []


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
    wild.api.wait_until_done()
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


@pytest.mark.slow
def test_a11_error_in_a_200_is_the_error_that_it_says(wild: Wild) -> None:
    busy = openrouter(429, "Provider returned error: rate limited upstream")
    refused = openrouter("400", "Input contains what the model cannot take")

    def upstream(call: Call) -> Answer | None:
        if "bad 1" in call.texts:
            return refused
        return busy if len(wild.provider.calls) <= 2 else None

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
    assert "No auth credentials" in service.wait_for_log("provider_held", 30.0)["message"]
    assert wild.api.final == {}
