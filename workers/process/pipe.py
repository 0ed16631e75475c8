"""Sends and receives messages over the private pipe between the supervisor and one worker process."""

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


def _receive(pipe: Connection) -> object:
    return pickle.loads(pipe.recv_bytes())  # noqa: S301  both ends are our own processes
