import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages import RateLimits
from workers.providers.openai.rate_limit_headers import parse_rate_limits

RESET = "x-ratelimit-reset-tokens"
COUNT = "x-ratelimit-remaining-requests"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1.5s", 1.5),
        ("1h2m3.5s", 3723.5),
        ("120µs", 0.00012),
        ("2", 2.0),
        ("0.25", 0.25),
        (" 3s ", 3.0),
        ("0s", 0.0),
        ("24h", 86_400.0),
    ],
)
def test_reset_is_read_in_every_known_form(value: str, seconds: float) -> None:
    limits = parse_rate_limits({RESET: value})
    assert limits is not None
    assert limits.reset_tokens_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-1s", "1e9", "inf", "nan", "1s nonsense", "1 s", "9" * 400, "25h", "٣s", "1.2.3s", "s"],
)
def test_a_hostile_reset_counts_as_not_said(value: str) -> None:
    assert parse_rate_limits({RESET: value}) is None


@pytest.mark.parametrize("value", ["", "-1", "1.5", "many", "1e3", "9" * 16, "0x10", "٣", "1_000"])
def test_a_hostile_count_counts_as_not_said(value: str) -> None:
    assert parse_rate_limits({COUNT: value}) is None


def test_all_six_headers_are_read() -> None:
    limits = parse_rate_limits(
        {
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-requests": "120ms",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    )
    assert limits == RateLimits(500, 150_000, 499, 0, 0.12, 360.0)


def test_no_headers_say_nothing() -> None:
    assert parse_rate_limits({"content-type": "text/html"}) is None


@given(st.text(max_size=80))
def test_no_value_raises(value: str) -> None:
    parse_rate_limits({RESET: value, COUNT: value})
