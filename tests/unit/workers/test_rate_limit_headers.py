import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages import RateLimits
from workers.providers.openai.rate_limit_headers import parse_rate_limits as parse_at

WALL_SECONDS = 1_700_000_000.0
RESET = "x-ratelimit-reset-tokens"
COUNT = "x-ratelimit-remaining-requests"


def parse_rate_limits(headers: dict[str, str]) -> RateLimits | None:
    return parse_at(headers, WALL_SECONDS)


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
        ("1700000030", 30.0),
        ("1700000030.5", 30.5),
        ("1700000030000", 30.0),
        ("1600000000", 0.0),
        ("2023-11-14T22:13:50Z", 30.0),
        ("2023-11-14T23:13:50+01:00", 30.0),
        ("2023-11-14T22:00:00Z", 0.0),
    ],
)
def test_reset_is_read_in_every_known_form(value: str, seconds: float) -> None:
    limits = parse_rate_limits({RESET: value})
    assert limits is not None
    assert limits.reset_tokens_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1s",
        "1e9",
        "inf",
        "nan",
        "1s nonsense",
        "1 s",
        "9" * 400,
        "25h",
        "٣s",
        "1.2.3s",
        "s",
        "2023-11-14",
        "2023-11-16T23:00:00Z",
        "9999999999",
    ],
)
def test_a_hostile_reset_counts_as_not_said(value: str) -> None:
    assert parse_rate_limits({RESET: value}) is None


@pytest.mark.parametrize("value", ["", "-1", "many", "1e3", "1.", "9" * 16, "0x10", "٣", "1_000"])
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


@pytest.mark.parametrize(("value", "count"), [("12", 12), ("12.0", 12), ("12.7", 12), ("12, 12;w=60", 12)])
def test_a_count_may_be_written_in_several_ways(value: str, count: int) -> None:
    assert parse_rate_limits({COUNT: value}) == RateLimits(remaining_requests=count)


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        pytest.param(
            {"x-ratelimit-remaining-requests": "9", "x-ratelimit-remaining-tokens": "99"},
            RateLimits(remaining_requests=9, remaining_tokens=99),
            id="azure",
        ),
        pytest.param(
            {
                "x-ratelimitbysize-limit-minute": "500000",
                "x-ratelimitbysize-remaining-minute": "499000",
                "ratelimitbysize-reset": "42",
            },
            RateLimits(limit_tokens=500_000, remaining_tokens=499_000, reset_tokens_seconds=42.0),
            id="mistral",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-req-minute": "60",
                "x-ratelimit-remaining-req-minute": "59",
                "x-ratelimit-limit-tokens-minute": "500",
                "x-ratelimit-remaining-tokens-minute": "400",
            },
            RateLimits(60, 500, 59, 400),
            id="mistral, new",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
            },
            RateLimits(limit_requests=50, remaining_requests=49, reset_requests_seconds=1.0),
            id="anthropic",
        ),
        pytest.param(
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000010000"},
            RateLimits(limit_requests=20, remaining_requests=0, reset_requests_seconds=10.0),
            id="openrouter",
        ),
        pytest.param(
            {"ratelimit-limit": "100", "ratelimit-remaining": "98", "ratelimit-reset": "3"},
            RateLimits(limit_requests=100, remaining_requests=98, reset_requests_seconds=3.0),
            id="ietf",
        ),
        pytest.param({"x-ratelimit-limit": "100"}, None, id="a limit of no kind alone"),
    ],
)
def test_each_providers_names_are_known(headers: dict[str, str], limits: RateLimits | None) -> None:
    assert parse_rate_limits(headers) == limits


def test_no_headers_say_nothing() -> None:
    assert parse_rate_limits({"content-type": "text/html"}) is None


@given(st.text(max_size=80))
def test_no_value_raises(value: str) -> None:
    parse_rate_limits({RESET: value, COUNT: value})
