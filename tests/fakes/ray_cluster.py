"""A cluster without Ray: its workers do what the test says."""

import queue
import threading

from shared.messages import WorkerUnfit
from supervisor.pool.ray.actor_slot import WorkerLostError
from workers.process.actor import Answer, Inputs


class FakeWorker:
    """One actor. What the bridge asks of it is written down."""

    def __init__(self, cluster: "FakeCluster") -> None:
        self._cluster = cluster
        self._answers: queue.SimpleQueue[Answer | WorkerLostError] = queue.SimpleQueue()
        self.given: list[tuple[bytes, Inputs]] = []
        self.killed = threading.Event()
        self.finished = threading.Event()

    def hello(self, timeout_seconds: float) -> str | None:
        del timeout_seconds
        if self._cluster.lost:
            self._cluster.reachable = not self._cluster.head_goes
            raise WorkerLostError(self._cluster.lost)
        return self._cluster.places.get(timeout=20.0)

    def start(self, slot: int, fingerprint: str, config: bytes) -> WorkerUnfit | None:
        del slot, fingerprint, config
        return self._cluster.unfit

    def give(self, unit: bytes, inputs: Inputs) -> None:
        if self._cluster.gives:
            raise WorkerLostError(self._cluster.gives)
        self.given.append((unit, inputs))

    def next_answer(self) -> Answer:
        found = self._answers.get(timeout=20.0)
        if isinstance(found, WorkerLostError):
            raise found
        return found

    def finish(self) -> None:
        self.finished.set()
        self.die("finished")

    def kill(self) -> None:
        self.killed.set()
        if not self._cluster.dies_late:
            self.die("killed")

    def answer(self, answer: Answer) -> None:
        self._answers.put(answer)

    def die(self, words: str) -> None:
        self._answers.put(WorkerLostError(words))


class FakeCluster:
    """Gives each worker that asks one of `places`; None means that there is no place yet."""

    def __init__(self) -> None:
        self.places: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.workers: list[FakeWorker] = []
        self.unfit: WorkerUnfit | None = None
        self.lost = ""
        """Why no worker comes up."""
        self.gives = ""
        """Why no unit can be handed over."""
        self.dies_late = False
        """A kill is not seen at once: the test says when."""
        self.reachable = True
        self.looks = 0
        """How often somebody wanted to know."""
        self.head_goes = False
        """With the first worker that does not come up."""

    def new_worker(self) -> FakeWorker:
        self.workers.append(FakeWorker(self))
        return self.workers[-1]

    def shortage(self) -> str:
        return "no room"

    def is_reachable(self) -> bool:
        self.looks += 1
        return self.reachable
