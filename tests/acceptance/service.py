"""The service as a user starts it: `python run.py run`, a process of its own."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from tests.acceptance.exposition import Exposition
from tests.eventually import eventually

CHECKOUT = Path(__file__).resolve().parents[2]
RUN = str(CHECKOUT / "run.py")
START_SECONDS = 20.0
STOP_SECONDS = 30.0
HTTP_SECONDS = 10.0
WORKER_TITLE = "ai-task-processor: worker-"
API_TOKEN = "acceptance-api-token-7f3a"
OPENAI_KEY = "sk-acceptance-key-91c4"

Json = dict[str, Any]
"""Parsed JSON of our own service; its shape is what the tests are about."""


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """`settings` and what a program needs to run; nothing of the developer's own settings.

    The COVERAGE names let a measured run measure the service and its workers too.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**kept, **measured, **settings}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes

    @property
    def json(self) -> Json:
        parsed: Json = orjson.loads(self.body)
        return parsed


class ServiceProcess:
    """Started at once, in `folder`, on a free port. Its output goes to `NAME.log` and `NAME.err` there.

    `through` is a command that runs the command it is given, such as `env -u NAME`.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], name: str = "service", through: Sequence[str] = ()
    ) -> None:
        self.log = folder / f"{name}.log"
        self.errors = folder / f"{name}.err"
        self.state_dir = folder / settings.get("STATE_DIR", "state")
        defaults = {
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": "0",
            "STATE_DIR": str(self.state_dir),
            "POLLING_INTERVAL_SECONDS": "0.5",
            "POLLING_MIN_INTERVAL_SECONDS": "0.05",
        }
        with self.log.open("wb") as log, self.errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*through, sys.executable, RUN, "run"],
                cwd=folder,
                env=clean_environment({**defaults, **settings}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,
            )
        self._port = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        """From the log line `service_starting`."""
        if not self._port:
            self._port = int(self.wait_for_log("service_starting", START_SECONDS)["port"])
        return self._port

    def get(self, path: str, method: str = "GET") -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HTTP_SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return Reply(response.status, response.read())
        finally:
            connection.close()

    def status(self) -> Json:
        """Empty until the service's loop turns."""
        reply = self.get("/status")
        return reply.json if reply.status == 200 else {}

    def not_ready(self) -> list[str]:
        """The reasons that `/ready` gives; empty when it is ready."""
        reply = self.get("/ready")
        reasons: list[str] = reply.json.get("reasons", [])
        assert (reply.status == 503) == bool(reasons), reply
        return reasons

    def metrics(self) -> Exposition:
        reply = self.get("/metrics")
        assert reply.status == 200, reply
        return Exposition.parse(reply.body.decode())

    def wait_until_ready(self, workers: int = 1) -> None:
        """Until `/ready` says so and so many workers wait for work."""
        eventually(lambda: len(self.workers("idle")) >= workers, START_SECONDS, f"{workers} idle workers")
        eventually(lambda: not self.not_ready(), START_SECONDS, "the service is ready")

    def workers(self, state: str) -> list[Json]:
        """The workers in this state, as `/status` shows them."""
        return [worker for worker in self.status().get("workers", []) if worker["state"] == state]

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.status()["workers"] if worker["pid"]]

    def descendants(self) -> list[psutil.Process]:
        """Every process beneath the supervisor: workers, forkserver, resource tracker."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def log_lines(self, event: str | None = None) -> list[Json]:
        """The log's lines; every one of them must be a JSON object."""
        whole = self.log.read_bytes().rpartition(b"\n")[0]
        lines = [orjson.loads(line) for line in whole.splitlines()]
        return [line for line in lines if event is None or line["event"] == event]

    def wait_for_log(self, event: str, timeout_seconds: float = 10.0, count: int = 1) -> Json:
        """The line of `event`, or the one that makes `count` of them."""

        def found() -> Json | None:
            lines = self.log_lines(event)
            if len(lines) < count:
                assert self.running(), f"the service ended before {event!r}:\n{self.output()}"
                return None
            return lines[count - 1]

        line = eventually(found, timeout_seconds, f"log line {event!r}")
        assert line is not None
        return line

    def output(self) -> str:
        """Everything that it wrote so far."""
        return self.log.read_text(errors="replace") + self.errors.read_text(errors="replace")

    def running(self) -> bool:
        return self._process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """SIGINT to the service and every process beneath it, as a terminal sends it."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(timeout_seconds)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait()

    def clean_up(self) -> None:
        """End what still runs, by pid. For the end of a test, however it went."""
        processes = self.descendants()
        if self.running():
            self.kill9()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def alive(process: psutil.Process) -> bool:
    """Does this very process still run? One that nobody has collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def titled_workers(service: ServiceProcess) -> Iterator[str]:
    """The slots that the worker processes' titles name."""
    for process in service.descendants():
        with suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline()).strip()
            if match := re.fullmatch(WORKER_TITLE + r"(\d+)", title):
                yield match[1]
