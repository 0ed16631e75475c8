"""What counts as flat."""

from dataclasses import replace

import pytest

from tests.chaos.soak import Minute, growth

STEADY = Minute(
    tasks=1000, supervisor_mb=80.0, all_mb=170.0, files=45, threads=10, supervisor_cpu_seconds=2.0
)


def test_a_steady_service_is_flat() -> None:
    assert growth([STEADY] * 15) == []


def test_growth_of_the_first_minutes_is_no_leak() -> None:
    cold = replace(STEADY, supervisor_mb=40.0, files=20)
    assert growth([cold] * 3 + [STEADY] * 12) == []


@pytest.mark.parametrize(
    ("what", "step"), [("supervisor_mb", 2.0), ("all_mb", 4.0), ("files", 2), ("supervisor_cpu_seconds", 0.1)]
)
def test_what_grows_each_minute_is_named(what: str, step: float) -> None:
    minutes = [replace(STEADY, **{what: getattr(STEADY, what) + number * step}) for number in range(15)]
    (complaint,) = growth(minutes)
    assert what.removeprefix("supervisor_cpu_seconds") in complaint
