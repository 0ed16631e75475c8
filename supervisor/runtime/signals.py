"""Signals become events; the handlers do nothing else."""

import faulthandler
import signal
from collections.abc import Callable
from types import FrameType

from supervisor.runtime.events import Event, PauseRequested, ResumeRequested, StopRequested

EVENTS: dict[signal.Signals, Event] = {
    signal.SIGTERM: StopRequested(),
    signal.SIGINT: StopRequested(),
    signal.SIGUSR1: PauseRequested(),
    signal.SIGUSR2: ResumeRequested(),
}


def obey_signals(post: Callable[[Event], None]) -> None:
    """Call in the main thread. SIGQUIT prints every thread's stack to stderr and changes nothing."""

    def handle(number: int, _: FrameType | None) -> None:
        post(EVENTS[signal.Signals(number)])

    for number in EVENTS:
        signal.signal(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EVENTS)
    faulthandler.register(signal.SIGQUIT, all_threads=True)
