"""The messages between the pool and the bridge process.

A worker has a number that no other has had. What is for, or from, a worker that is gone is dropped by it: on
two nodes process ids may be equal.
"""

import os
import pickle
import socket
import struct
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias, cast

from shared.models import InputPlace
from workers.process.pipe import PICKLE_PROTOCOL


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """What the bridge is told at its start."""

    address: str
    """Of the cluster's head: `host:port`."""
    slots: int
    cpus: float
    """Of each worker."""
    gpus: float
    worker: bytes
    """Its WorkerConfig, pickled. It holds keys."""
    metrics_directory: Path
    inputs_directory: Path
    first_number: int
    """Of the workers that this bridge starts."""


@dataclass(frozen=True, slots=True)
class Give:
    """A unit for the worker `number`. `unit` is pickled, and `places` are of its inputs that are in files."""

    slot: int
    number: int
    unit_id: int
    unit: bytes
    places: tuple[InputPlace, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The idle worker `number` is to end gently."""

    slot: int
    number: int


@dataclass(frozen=True, slots=True)
class Kill:
    """The slot's worker is to end at once."""

    slot: int


@dataclass(frozen=True, slots=True)
class Close:
    """All workers are to end, and the bridge after them."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Nothing happened, and the bridge runs."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The bridge is part of the cluster, and starts workers."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The bridge cannot join the cluster, and why. It ends after this, or goes on trying."""

    reason: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """The slot's worker cannot start yet, and why; without a reason it no longer waits."""

    slot: int
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """The slot's worker waits for its first unit."""

    slot: int
    number: int
    where: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Messages of a worker, each a pickled WorkerMessage, and the memory that it holds."""

    slot: int
    number: int
    messages: tuple[bytes, ...]
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Died:
    """The slot's worker ended, holding the units `unit_ids`. Nothing more comes from it."""

    slot: int
    number: int
    unit_ids: tuple[int, ...]
    exit_code: int | None
    was_ready: bool
    reason: str = ""


Order: TypeAlias = Give | Finish | Kill | Close
Report: TypeAlias = Alive | Joined | Unreachable | Awaited | Started | Answered | Died


def send(pipe: Connection, message: Order | Report) -> None:
    """Raises OSError when the other side is gone."""
    pipe.send_bytes(pickle.dumps(message, PICKLE_PROTOCOL))


def limit_reads(pipe: Connection, seconds: float) -> None:
    """From now on a read that gets nothing for so long raises OSError, in the middle of a message too.

    The pipe must go both ways: its ends are sockets then.
    """
    whole_seconds, part = divmod(seconds, 1)
    limit = struct.pack("@ll", int(whole_seconds), int(part * 1_000_000))
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def receive_order(pipe: Connection) -> Order:
    """The bridge's side; waits for one. Raises EOFError or OSError when the supervisor is gone."""
    return cast("Order", pickle.loads(pipe.recv_bytes()))  # noqa: S301  both ends are our own processes


def receive_report(pipe: Connection) -> Report:
    """The pool's side; waits for one. Raises EOFError or OSError when the bridge is gone."""
    return cast("Report", pickle.loads(pipe.recv_bytes()))  # noqa: S301  both ends are our own processes
