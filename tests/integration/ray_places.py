"""Where the tests of the pool on Ray have their actors: in processes of this machine, or on a real Ray."""

import contextlib
import importlib.util
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from supervisor.pool.base import WorkerStarted
from supervisor.pool.ray.bridge import Teller, serve
from supervisor.pool.ray.messages import BridgeConfig, Report
from supervisor.pool.ray.pool import BridgeProcess, RayPool, start_bridge
from tests.eventually import eventually
from tests.fakes.process_cluster import ProcessCluster
from tests.integration.pool_events import EventLog
from workers.config import WorkerConfig

HAS_RAY = importlib.util.find_spec("ray") is not None
START_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Place(Protocol):
    address: str

    def start_bridge(self, config: BridgeConfig) -> tuple[BridgeProcess, Connection]: ...

    def actor_pids(self) -> list[int]:
        """The processes of actors, the oldest first."""


class _QuietTeller(Teller):
    """A bridge process would end where it cannot tell: the supervisor is gone."""

    def __call__(self, report: Report) -> None:
        with contextlib.suppress(OSError):
            super().__call__(report)


class BridgeInThread:
    """`serve` on a cluster of processes, in a thread of the test."""

    def __init__(self, config: BridgeConfig, pipe: Connection, cluster: ProcessCluster) -> None:
        self.sentinel, self._running = os.pipe()
        self.exitcode: int | None = None
        self._pipe = pipe
        self._cluster = cluster
        self._thread = threading.Thread(target=self._run, args=(config,), daemon=True)
        self._thread.start()

    def kill(self) -> None:
        self._cluster.close()

    def join(self) -> None:
        self._thread.join()
        os.close(self.sentinel)

    def _run(self, config: BridgeConfig) -> None:
        with self._pipe, contextlib.suppress(EOFError, OSError):
            serve(self._pipe, config, self._cluster, _QuietTeller(self._pipe))
        self._cluster.close()
        self.exitcode = 0
        os.close(self._running)


class OnProcesses:
    """No Ray."""

    address = "nowhere:1"

    def __init__(self) -> None:
        self._cluster = ProcessCluster()

    def start_bridge(self, config: BridgeConfig) -> tuple[BridgeProcess, Connection]:
        ours, theirs = multiprocessing.Pipe()
        return BridgeInThread(config, theirs, self._cluster), ours

    def actor_pids(self) -> list[int]:
        return [worker.process.pid or 0 for worker in self._cluster.workers if worker.process.is_alive()]


class OnRay:
    """A real bridge process, and a Ray cluster of this machine alone."""

    def __init__(self, address: str, head: subprocess.Popen[bytes], files: Path) -> None:
        self.address = address
        self.files = files
        """What Ray writes."""
        self.bridges: list[BridgeProcess] = []
        self._head = head

    def start_bridge(self, config: BridgeConfig) -> tuple[BridgeProcess, Connection]:
        bridge, pipe = start_bridge(config)
        self.bridges.append(bridge)
        return bridge, pipe

    def actor_pids(self) -> list[int]:
        found = psutil.Process(self._head.pid).children(recursive=True)
        actors = [process for process in found if "ray::WorkerActor" in " ".join(process.cmdline())]
        return [process.pid for process in sorted(actors, key=lambda process: process.create_time())]


@contextlib.contextmanager
def ray_head(folder: Path, cpus: int) -> Iterator[OnRay]:
    port = free_port()
    log = folder / "head.log"
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}",
        "--node-ip-address=127.0.0.1", f"--num-cpus={cpus}", "--include-dashboard=false",
        "--object-store-memory=100000000", f"--temp-dir={folder}/ray", "--disable-usage-stats",
    ]  # fmt: skip
    with log.open("wb") as output:
        head = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        started: Callable[[], bool] = lambda: "Ray runtime started" in log.read_text()  # noqa: E731
        eventually(started, START_SECONDS)
        yield OnRay(f"127.0.0.1:{port}", head, folder / "ray")
    finally:
        family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait()


class PoolOn:
    """A pool whose actors are there."""

    def __init__(self, place: Place, config: WorkerConfig, inputs: Path, slots: int = 1) -> None:
        self.place = place
        self.log = EventLog()
        self.config = config
        self.inputs = inputs
        self._slots = slots
        self.pool = RayPool(slots, place.address, self._launch, self.log.post)
        self.pool.start()

    def _launch(self, first_number: int) -> tuple[BridgeProcess, Connection]:
        config = BridgeConfig(
            address=self.place.address,
            slots=self._slots,
            cpus=1.0,
            gpus=0.0,
            worker=pickle.dumps(self.config),
            metrics_directory=self.config.metrics_directory,
            inputs_directory=self.inputs,
            first_number=first_number,
        )
        return self.place.start_bridge(config)

    def worker(self, start: int = 1) -> int:
        """The number of the worker that was started as the `start`th."""
        eventually(lambda: len(self.log.all(WorkerStarted)) >= start, START_SECONDS, f"{self.log.events}")
        return self.log.all(WorkerStarted)[start - 1].pid

    def counted(self, name: str) -> float:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self.config.metrics_directory))  # type: ignore[no-untyped-call]  # the library's own gap
        samples = [sample for family in registry.collect() for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == name)
