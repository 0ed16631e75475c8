"""A stop signal is a wish; the second one acts at once."""

import os
import signal
import time

import pytest

from examples.demo.fault import StopRequest
from examples.demo.interrupts import STOP_SIGNALS, Interrupts


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ends_the_next_pause_at_once(number: signal.Signals) -> None:
    with Interrupts(on_repeat=lambda: None) as interrupts:
        os.kill(os.getpid(), number)
        started = time.monotonic()
        with pytest.raises(StopRequest):
            interrupts.pause(30)
        assert time.monotonic() - started < 10


def test_a_signal_is_raised_once() -> None:
    with Interrupts(on_repeat=lambda: None) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopRequest):
            interrupts.check()
        interrupts.check()
        started = time.monotonic()
        interrupts.pause(0.05)
        assert time.monotonic() - started >= 0.05


def test_each_later_signal_is_raised_again() -> None:
    with Interrupts(on_repeat=lambda: None) as interrupts:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(StopRequest):
                interrupts.pause(30)


def test_without_a_signal_a_pause_just_ends() -> None:
    with Interrupts(on_repeat=lambda: None) as interrupts:
        interrupts.pause(0)


def test_only_the_second_signal_is_acted_on_at_once() -> None:
    acted: list[int] = []
    with Interrupts(on_repeat=lambda: acted.append(1)):
        os.kill(os.getpid(), signal.SIGINT)
        assert acted == []
        os.kill(os.getpid(), signal.SIGINT)
        assert acted == [1]


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with Interrupts(on_repeat=lambda: None):
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
