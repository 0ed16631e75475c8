"""A cluster whose actors are processes of this machine: real WorkerActors, and no Ray."""

import contextlib
import itertools
import multiprocessing
import queue
import threading
from multiprocessing.connection import Connection
from typing import Any, cast

from shared.messages import WorkerUnfit
from supervisor.pool.ray.actor_slot import WorkerLostError
from workers.process.actor import Answer, Inputs, WorkerActor

WHERE = "127.0.0.1"


def run_actor(pipe: Connection) -> None:
    """The work of an actor's process: each call in a thread of its own, as Ray does it."""
    actor = WorkerActor(where)
    sending = threading.Lock()

    def call(number: int, method: str, arguments: tuple[object, ...]) -> None:
        result = getattr(actor, method)(*arguments)
        with sending:
            pipe.send((number, result))

    with contextlib.suppress(EOFError):
        while True:
            threading.Thread(target=call, args=pipe.recv(), daemon=True).start()


def where() -> str:
    return WHERE


class ProcessWorker:
    """One actor. See RemoteWorker for the contract."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=run_actor, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._results: dict[int, queue.SimpleQueue[object]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def hello(self, timeout_seconds: float) -> str | None:
        del timeout_seconds
        return cast("str", self._call("hello"))

    def start(self, slot: int, fingerprint: str, config: bytes) -> WorkerUnfit | None:
        return cast("WorkerUnfit | None", self._call("start", slot, fingerprint, config))

    def give(self, unit: bytes, inputs: Inputs) -> None:
        self._ask("give", unit, inputs)

    def next_answer(self) -> Answer:
        return cast("Answer", self._call("next_answer"))

    def finish(self) -> None:
        self._call("finish")
        self.kill()

    def kill(self) -> None:
        self.process.kill()

    def _call(self, method: str, *arguments: object) -> object:
        result = self._ask(method, *arguments).get()
        if isinstance(result, WorkerLostError):
            raise result
        return result

    def _ask(self, method: str, *arguments: object) -> "queue.SimpleQueue[object]":
        with self._sending:
            number = next(self._numbers)
            results = self._results[number] = queue.SimpleQueue()
            try:
                self._pipe.send((number, method, arguments))
            except OSError:
                results.put(WorkerLostError("died"))
        return results

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, result = cast("tuple[int, Any]", self._pipe.recv())
                self._results.pop(number).put(result)
        self.process.join()
        with self._sending:
            for results in self._results.values():
                results.put(WorkerLostError("died"))
            self._pipe.close()


class ProcessCluster:
    def __init__(self) -> None:
        self.workers: list[ProcessWorker] = []

    def new_worker(self) -> ProcessWorker:
        self.workers.append(ProcessWorker())
        return self.workers[-1]

    def shortage(self) -> str:
        return "no room"

    def is_reachable(self) -> bool:
        return True

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.process.join()
