"""Workers that do on their lane what no worker should."""

import os
import signal
import struct
from multiprocessing.connection import Connection

from shared.messages import Failure, UnitDone, UnitProgress, WorkerReady, WorkerUnfit
from workers.process.pipe import receive_unit, send_message

HALF_A_MESSAGE = struct.pack("!i", 1_000_000) + b"x" * 1000


def echo(pipe: Connection) -> None:
    """A good one: every unit is done at once, with nothing in it."""
    send_message(pipe, WorkerReady(os.getpid()))
    while True:
        try:
            send_message(pipe, UnitDone(receive_unit(pipe).id))
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
    send_message(pipe, WorkerReady(os.getpid()))
    send_message(pipe, UnitDone(receive_unit(pipe).id))
    os._exit(7)


def send_progress_and_die(pipe: Connection) -> None:
    """One task of its unit is done."""
    send_message(pipe, WorkerReady(os.getpid()))
    unit = receive_unit(pipe)
    send_message(pipe, UnitProgress(unit.id, {unit.tasks[0].id: Failure("done")}))
    os._exit(7)


def be_unfit(pipe: Connection) -> None:
    send_message(pipe, WorkerUnfit("there is no model"))


def die_at_start(_: Connection) -> None:
    os._exit(3)


def ignore_the_end_of_the_lane(pipe: Connection) -> None:
    """Busy for ever, as far as the supervisor can tell."""
    send_message(pipe, WorkerReady(os.getpid()))
    while True:
        signal.pause()


def _begin_an_answer(pipe: Connection) -> None:
    send_message(pipe, WorkerReady(os.getpid()))
    receive_unit(pipe)
    os.write(pipe.fileno(), HALF_A_MESSAGE)
