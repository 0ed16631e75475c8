"""Signals in the processes beneath the supervisor."""

import faulthandler
import signal

_FOR_THE_SUPERVISOR = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def leave_signals_to_supervisor() -> None:
    """Ignore what a terminal or service manager sends to the whole group: a drain needs its workers alive.

    The supervisor ends a worker by closing its pipe, or by SIGKILL.
    """
    for number in _FOR_THE_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)


def show_stacks() -> None:
    """Stacks to stderr on SIGQUIT, and before a native crash ends the process."""
    faulthandler.enable()
    faulthandler.register(signal.SIGQUIT, all_threads=True)
