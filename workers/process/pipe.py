"""Sends and receives messages over the private pipe between the supervisor and one worker process."""

import multiprocessing.connection
import pickle
from multiprocessing.connection import Connection
from typing import cast

from shared.messages import Unit, WorkerMessage

PICKLE_PROTOCOL = 5


def send_message(pipe: Connection, message: Unit | WorkerMessage) -> None:
    """Raises OSError when the other side is gone."""
    pipe.send_bytes(pickle.dumps(message, PICKLE_PROTOCOL))


def receive_unit(pipe: Connection) -> Unit:
    """The worker's side; waits for a unit. Raises EOFError or OSError when the supervisor is gone."""
    return cast("Unit", _receive(pipe))


def receive_message(pipe: Connection) -> WorkerMessage:
    """The supervisor's side; waits for a message. Raises EOFError or OSError when the worker is gone."""
    return cast("WorkerMessage", _receive(pipe))


class SupervisorPipe:
    """The worker's end of the pipe.

    `parent_sentinel` becomes readable when the supervisor dies. The pipe may not show it, while another
    process holds a copy of its other end.
    """

    def __init__(self, pipe: Connection, parent_sentinel: int) -> None:
        self._pipe = pipe
        self._parent_sentinel = parent_sentinel

    def receive(self) -> Unit | None:
        """Wait for a unit; None when the supervisor has closed the pipe or is gone."""
        if self._pipe not in multiprocessing.connection.wait([self._pipe, self._parent_sentinel]):
            return None
        try:
            return receive_unit(self._pipe)
        except (EOFError, OSError):
            return None

    def send(self, message: WorkerMessage) -> None:
        """Raises OSError when the supervisor is gone."""
        send_message(self._pipe, message)


def _receive(pipe: Connection) -> object:
    return pickle.loads(pipe.recv_bytes())  # noqa: S301  both ends are our own processes
