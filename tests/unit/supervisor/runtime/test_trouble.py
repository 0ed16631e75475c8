"""What is remembered of failures."""

import pytest

from supervisor.runtime.trouble import MAX_DETAIL_CHARACTERS, Cause, TroubleRecord
from tests.fakes.clock import Clock

AT_SECONDS = 1_767_225_600.0
REFUSED = Cause("unreachable", "connection refused", "API_BASE_URL")


@pytest.fixture
def wall() -> Clock:
    return Clock(AT_SECONDS)


@pytest.fixture
def record(wall: Clock) -> TroubleRecord:
    return TroubleRecord("api", "http://api:8000", "polls", wall)


def test_nothing_has_failed_at_first(record: TroubleRecord) -> None:
    assert record.current is None
    assert record.last is None
    assert record.facts() == {}


def test_failures_are_counted_since_the_first_and_say_the_last_words(
    record: TroubleRecord, wall: Clock
) -> None:
    record.failed(Cause("timeout", "no answer within 30 s", "REQUEST_TIMEOUT"))
    wall.advance(60)
    record.failed(REFUSED)
    trouble = record.current
    assert trouble is not None
    assert (trouble.service, trouble.calls, trouble.address) == ("api", "polls", "http://api:8000")
    assert (trouble.reason, trouble.detail, trouble.setting) == (
        "unreachable",
        "connection refused",
        "API_BASE_URL",
    )
    assert (trouble.times, trouble.since_seconds, trouble.last_seconds) == (2, AT_SECONDS, AT_SECONDS + 60)


def test_success_ends_the_trouble_but_the_last_failure_is_remembered(
    record: TroubleRecord, wall: Clock
) -> None:
    record.failed(REFUSED)
    record.succeeded()
    assert record.facts() == {}
    assert record.last is not None
    assert (record.last.detail, record.last.times) == ("connection refused", 0)
    wall.advance(60)
    record.failed(REFUSED)
    assert record.current is not None
    assert (record.current.times, record.current.since_seconds) == (1, AT_SECONDS + 60)


@pytest.mark.parametrize("setting", ["OAUTH_CLIENT_SECRET", "HTTPS_PROXY", "https_proxy", "all_proxy"])
def test_setting_that_the_words_advise_counts_more(record: TroubleRecord, setting: str) -> None:
    record.failed(Cause("unreachable", f"the other end refuses: check {setting}", "API_TOKEN"))
    assert record.current is not None
    assert record.current.setting == setting


def test_words_are_one_line_and_bounded(record: TroubleRecord) -> None:
    record.failed(Cause("server_error", "first\nsecond\x1b[2J " + "x" * 10_000_000))
    assert record.current is not None
    assert record.current.detail.startswith("first second [2J xxx")
    assert len(record.current.detail) == MAX_DETAIL_CHARACTERS
    assert record.current.detail.isprintable()


def test_failure_without_words_says_its_kind(record: TroubleRecord) -> None:
    record.failed(Cause("server_error", ""))
    assert record.current is not None
    assert record.current.detail == "server error"


def test_facts_for_the_log_leave_out_what_is_not_known(wall: Clock) -> None:
    record = TroubleRecord("local", wall=wall)
    record.failed(Cause("bad_response", "no vector"))
    assert record.facts() == {"detail": "no vector", "times": 1, "since": "2026-01-01T00:00:00+00:00"}


def test_setting_of_a_further_provider_is_found_in_the_words() -> None:
    record = TroubleRecord("my-host")
    record.failed(Cause("wrong_url", "no API there, check PROVIDERS__MY-HOST_2__BASE_URL.", "OTHER"))
    assert record.current is not None
    assert record.current.setting == "PROVIDERS__MY-HOST_2__BASE_URL"
