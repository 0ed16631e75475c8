"""What the benchmark's stubs hold against a contender."""

import json
from array import array

import pytest

from benchmarks.stubs.rate_window import RateWindow
from benchmarks.stubs.reports import Report, ReportReader
from benchmarks.stubs.task_api import text_of
from benchmarks.stubs.vectors import vectors

VECTORS = vectors(3)


def report(embedding: object) -> bytes:
    body = {
        "status": "succeeded",
        "output_data": {"embedding": embedding, "model": "m"},
        "error_message": None,
    }
    return json.dumps(body).encode()


def numbers(which: int) -> list[float]:
    return array("f", VECTORS[which]).tolist()


def test_vector_is_known_by_its_numbers_each_time() -> None:
    reader = ReportReader(VECTORS)
    for which in (0, 2, 2, 0):
        assert reader.read(report(numbers(which))) == Report("succeeded", which)


def test_vector_with_one_wrong_number_is_none_of_them() -> None:
    wrong = numbers(1)
    wrong[-1] += 1e-4
    assert ReportReader(VECTORS).read(report(wrong)).vector is None


@pytest.mark.parametrize("embedding", [None, [], [1.0], ["a"], [[1.0]], {"a": 1}], ids=repr)
def test_what_is_no_vector_is_none_of_them(embedding: object) -> None:
    assert ReportReader(VECTORS).read(report(embedding)) == Report("succeeded", None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"status":1}', b'{"status":"failed"'], ids=repr)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ReportReader(VECTORS).read(body)


def test_failure_whose_message_has_brackets_is_read() -> None:
    assert (
        ReportReader(VECTORS).read(b'{"status":"failed","error_message":"in [0] of [1]"}').status == "failed"
    )


def test_reports_in_a_list_are_read_as_if_alone() -> None:
    failed = b'{"id":"c","status":"failed","output_data":null,"error_message":"in [0] of [1]"}'
    items = [b'{"id":"%c",' % name + report(numbers(which))[1:] for name, which in ((b"a", 1), (b"b", 2))]
    got = ReportReader(VECTORS).read_all(b"[" + b",".join([*items, failed]) + b"]")
    assert got == [
        ("a", Report("succeeded", 1)),
        ("b", Report("succeeded", 2)),
        ("c", Report("failed", None)),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"status":"failed"}]', b'[{"id":"a"}]'], ids=repr)
def test_list_with_something_that_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ReportReader(VECTORS).read_all(body)


def test_texts_are_distinct_and_of_the_wanted_length() -> None:
    texts = {text_of(serial, 500) for serial in range(1, 200)}
    assert len(texts) == 199
    assert {len(text) for text in texts} == {500}


def test_window_grants_no_more_than_its_tokens_within_a_minute() -> None:
    window = RateWindow(requests=0, tokens=100)
    assert window.take(60, now=0.0) == 0.0
    assert window.take(40, now=10.0) == 0.0
    assert window.take(60, now=30.0) == pytest.approx(30.0)
    assert window.take(61, now=30.0) == pytest.approx(40.0)
    assert window.take(60, now=60.0) == 0.0


def test_window_grants_no_more_than_its_requests_within_a_minute() -> None:
    window = RateWindow(requests=2, tokens=0)
    assert [window.take(1, now) for now in (0.0, 5.0)] == [0.0, 0.0]
    assert window.take(1, now=6.0) == pytest.approx(54.0)
    assert window.take(1, now=60.5) == 0.0


def test_window_tells_what_is_left() -> None:
    window = RateWindow(requests=10, tokens=100)
    window.take(30, now=5.0)
    assert dict(window.headers(now=15.0)) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "50.000s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "70",
        "x-ratelimit-reset-tokens": "50.000s",
    }
