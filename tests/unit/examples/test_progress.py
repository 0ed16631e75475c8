"""Where stdout is no terminal, progress is a few lines."""

import io

import pytest

from examples.demo.backend import Tally
from examples.demo.progress import PlainProgress, progress_on, rate


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(stream: io.StringIO, clock: Clock) -> PlainProgress:
    return PlainProgress(stream, 100, clock)


def tally(done: int, failed: int = 0) -> Tally:
    return Tally(pending=100 - done, succeeded=done - failed, failed=failed)


def test_first_state_is_shown(progress: PlainProgress, stream: io.StringIO) -> None:
    progress.show(tally(0))
    assert stream.getvalue() == "   0.0 s  0 of 100 tasks done, 0 tasks/s, 0 failed\n"


def test_a_line_tells_rate_and_failures(progress: PlainProgress, stream: io.StringIO, clock: Clock) -> None:
    clock.seconds += 2
    progress.show(tally(50, failed=3))
    assert stream.getvalue() == "   2.0 s  50 of 100 tasks done, 25 tasks/s, 3 failed\n"


def test_little_change_in_little_time_is_not_shown(
    progress: PlainProgress, stream: io.StringIO, clock: Clock
) -> None:
    progress.show(tally(0))
    clock.seconds += 0.9
    progress.show(tally(9))
    assert stream.getvalue().count("\n") == 1


def test_a_tenth_more_is_shown_at_once(progress: PlainProgress, stream: io.StringIO) -> None:
    progress.show(tally(0))
    progress.show(tally(10))
    progress.show(tally(19))
    assert stream.getvalue().count("\n") == 2


def test_a_second_later_a_line_is_shown_even_without_change(
    progress: PlainProgress, stream: io.StringIO, clock: Clock
) -> None:
    progress.show(tally(0))
    clock.seconds += 1
    progress.show(tally(0))
    assert stream.getvalue().count("\n") == 2


def test_last_state_is_shown_once(progress: PlainProgress, stream: io.StringIO) -> None:
    progress.show(tally(95))
    progress.close(tally(100))
    assert stream.getvalue().count("100 of 100") == 1
    progress.close(tally(100))
    assert stream.getvalue().count("100 of 100") == 1


def test_a_pipe_gets_lines(stream: io.StringIO) -> None:
    assert isinstance(progress_on(stream, 1), PlainProgress)


def test_rate_of_no_time_is_zero() -> None:
    assert rate(5, 0.0) == 0.0
