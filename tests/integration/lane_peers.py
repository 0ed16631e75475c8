"""Workers that do on their lane what no worker should."""

import os
import signal
import struct
from multiprocessing.connection import Connection

from shared.messages import UnitDone, WorkerReady, WorkerUnfit
from workers import lane

HALF_A_MESSAGE = struct.pack("!i", 1_000_000) + b"x" * 1000


def echo(pipe: Connection) -> None:
    """A good one: every unit is done at once, with nothing in it."""
    lane.send(pipe, WorkerReady(os.getpid()))
    while True:
        try:
            lane.send(pipe, UnitDone(lane.receive_unit(pipe).id))
        except (EOFError, OSError):
            return


def die_in_mid_message(pipe: Connection) -> None:
    _begin_an_answer(pipe)
    os.kill(os.getpid(), signal.SIGKILL)


def stop_in_mid_message(pipe: Connection) -> None:
    _begin_an_answer(pipe)
    os.kill(os.getpid(), signal.SIGSTOP)


def answer_and_die(pipe: Connection) -> None:
    """The answer is complete before the end."""
    lane.send(pipe, WorkerReady(os.getpid()))
    lane.send(pipe, UnitDone(lane.receive_unit(pipe).id))
    os._exit(7)


def be_unfit(pipe: Connection) -> None:
    lane.send(pipe, WorkerUnfit("there is no model"))


def die_at_start(_: Connection) -> None:
    os._exit(3)


def ignore_the_end_of_the_lane(pipe: Connection) -> None:
    """Busy for ever, as far as the supervisor can tell."""
    lane.send(pipe, WorkerReady(os.getpid()))
    while True:
        signal.pause()


def _begin_an_answer(pipe: Connection) -> None:
    lane.send(pipe, WorkerReady(os.getpid()))
    lane.receive_unit(pipe)
    os.write(pipe.fileno(), HALF_A_MESSAGE)
