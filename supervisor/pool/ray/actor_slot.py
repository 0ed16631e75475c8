"""One slot in the bridge process: a thread that keeps one actor alive and takes its answers."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from shared.messages import WorkerUnfit
from shared.metric_changes import AddedMetrics
from supervisor.pool.ray.messages import Answered, Awaited, Died, Give, Report, Started
from workers.process.actor import Answer, Inputs, code_fingerprint

START_BACKOFF_SECONDS = 0.1
MAX_START_BACKOFF_SECONDS = 10.0
PLACE_SECONDS = 20.0
"""An actor that is not up after this time is said to wait. Its process alone takes some seconds to start."""
KILLED = -9
NO_HEAD = "the head of the Ray cluster does not answer"


class WorkerLostError(Exception):
    """An actor is gone or cannot be reached. The words are the second half of a sentence on the worker."""


class RemoteWorker(Protocol):
    """One actor. Each method raises WorkerLostError when it is gone."""

    def hello(self, timeout_seconds: float) -> str | None:
        """Where it is; None if it has no place in the cluster yet."""

    def start(self, slot: int, fingerprint: str, config: bytes) -> WorkerUnfit | None:
        """Wait until the worker is ready; why it is of no use, or None."""

    def give(self, unit: bytes, inputs: Inputs) -> None:
        """Hand over a unit; does not wait for it."""

    def next_answer(self) -> Answer:
        """Wait for the next answer, or for the actor's end."""

    def finish(self) -> None:
        """Let the idle worker end, and its actor after it."""

    def kill(self) -> None:
        """End the actor at once. It may take a moment after this returns, or not be told at all."""


class Cluster(Protocol):
    def new_worker(self) -> RemoteWorker:
        """Ask for an actor. Raises WorkerLostError."""

    def shortage(self) -> str:
        """Why an actor has no place, in words."""

    def is_reachable(self) -> bool:
        """Does the head take connections?"""


@dataclass(slots=True)
class _Current:
    """The slot's actor. `exit_code` is set once we have ended it."""

    number: int
    worker: RemoteWorker
    is_ready: bool = False
    where: str = ""
    exit_code: int | None = None
    unit_ids: set[int] = field(default_factory=set)
    trouble: str = ""


class ActorSlot:
    """`numbers` gives each actor a number of its own. `tell` sends a report to the pool.

    `give`, `finish` and `kill` are called by another thread than `run`.
    """

    def __init__(
        self,
        slot: int,
        *,
        cluster: Cluster,
        config: bytes,
        numbers: Iterator[int],
        metrics: AddedMetrics,
        tell: Callable[[Report], None],
    ) -> None:
        self.slot = slot
        self._cluster = cluster
        self._config = config
        self._numbers = numbers
        self._metrics = metrics
        self._tell = tell
        self._lock = threading.Lock()
        self._current: _Current | None = None
        self._closing = threading.Event()
        self._failed_starts = 0
        self._awaited = ""
        """What the pool was told that this slot waits for."""

    def run(self) -> None:
        """One actor after another until `close`. Closes `metrics` at its end."""
        try:
            while not self._closing.is_set():
                # Without its head, Ray waits for a minute before it says anything.
                if self._cluster.is_reachable():
                    self._run_one()
                else:
                    self._wait_for(NO_HEAD)
                    self._rest()
        finally:
            self._metrics.close()

    def give(self, order: Give, inputs: Inputs) -> None:
        """Dropped if its worker is gone: its Died is on its way."""
        with self._lock:
            current = self._current
            if current is None or current.number != order.number or current.exit_code is not None:
                return
            current.unit_ids.add(order.unit_id)
        try:
            current.worker.give(order.unit, inputs)
        except WorkerLostError as error:
            current.trouble = str(error)
            self._end(current, current.worker.kill)

    def finish(self, number: int) -> None:
        with self._lock:
            current = self._current
            if current is None or current.number != number:
                return
            current.exit_code = 0
        self._end(current, current.worker.finish)

    def kill(self) -> None:
        with self._lock:
            current = self._current
            if current is None:
                return
            current.exit_code = KILLED
        self._end(current, current.worker.kill)

    def close(self) -> threading.Thread | None:
        """Start no further actor. The thread that is returned ends the present one gently."""
        self._closing.set()
        with self._lock:
            current = self._current
            if current is None or not current.is_ready:
                return None
            current.exit_code = 0
        return self._end(current, current.worker.finish)

    def _run_one(self) -> None:
        try:
            current = _Current(next(self._numbers), self._cluster.new_worker())
        except WorkerLostError as error:
            self._failed(None, str(error))
            return
        with self._lock:
            self._current = current
        reason = self._start(current)
        if reason is None:
            self._serve(current)
        else:
            self._failed(current, reason)

    def _start(self, current: _Current) -> str | None:
        """Wait until the worker is ready; why it cannot be, or None."""
        try:
            where = self._wait_for_place(current)
            unfit = current.worker.start(self.slot, code_fingerprint(), self._config)
        except WorkerLostError as error:
            return str(error)
        if unfit is not None:
            return unfit.reason
        self._failed_starts = 0
        current.is_ready = True
        current.where = where
        self._tell(Started(self.slot, current.number, where))
        return None

    def _wait_for_place(self, current: _Current) -> str:
        while (where := current.worker.hello(PLACE_SECONDS)) is None:
            self._wait_for(self._cluster.shortage() if self._cluster.is_reachable() else NO_HEAD)
        self._wait_for("")
        return where

    def _wait_for(self, reason: str) -> None:
        """Tell what the slot waits for, where that has changed; nothing once it no longer does."""
        if reason != self._awaited:
            self._awaited = reason
            self._tell(Awaited(self.slot, reason))

    def _serve(self, current: _Current) -> None:
        """Pass answers on until the actor is gone."""
        try:
            while True:
                answer = current.worker.next_answer()
                self._metrics.add(answer.changes)
                with self._lock:
                    current.unit_ids.difference_update(answer.finished)
                self._tell(Answered(self.slot, current.number, answer.messages, answer.rss_bytes))
        except WorkerLostError as error:
            self._died(current, f"{error} (Ray node {current.where})")

    def _failed(self, current: _Current | None, reason: str) -> None:
        """No worker came of it. That is no death where the cluster is gone."""
        if self._cluster.is_reachable():
            self._died(current, f"could not be started: {reason}")
        else:
            self._forget(current)
            self._wait_for(NO_HEAD)
        self._rest()

    def _rest(self) -> None:
        self._failed_starts += 1
        backoff_seconds = START_BACKOFF_SECONDS * 2 ** min(self._failed_starts, 10)
        self._closing.wait(min(backoff_seconds, MAX_START_BACKOFF_SECONDS))

    def _died(self, current: _Current | None, reason: str) -> None:
        self._forget(current)
        self._awaited = ""  # the pool forgets it with the worker
        if current is None:
            self._tell(Died(self.slot, 0, (), None, was_ready=False, reason=reason))
            return
        asked = current.exit_code is not None
        self._tell(
            Died(
                self.slot,
                current.number,
                tuple(sorted(current.unit_ids)),
                current.exit_code,
                was_ready=current.is_ready,
                reason="" if asked else current.trouble or reason,
            )
        )

    def _forget(self, current: _Current | None) -> None:
        """One that is merely out of reach must not run on beside its successor."""
        with self._lock:
            self._current = None
        if current is not None and current.exit_code is None:
            self._end(current, current.worker.kill)

    def _end(self, current: _Current, how: Callable[[], None]) -> threading.Thread:
        """In a thread of its own: it may wait for a head that is gone, and others must not wait with it."""

        def end() -> None:
            try:
                how()
            except WorkerLostError:
                return

        thread = threading.Thread(target=end, name=f"end-{current.number}", daemon=True)
        thread.start()
        return thread
