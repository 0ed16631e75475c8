"""The demo's children: the task API and the service, each a process as a user would start it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.demo.fault import DemoFault

CHECKOUT = Path(__file__).resolve().parents[2]
TASK_API_COMMAND = (sys.executable, "-m", "examples.task_api")
SERVICE_COMMAND = (sys.executable, str(CHECKOUT / "run.py"), "run")
# The rest of the user's environment stays out: a setting in it would change what the demo shows.
# The COVERAGE names let a measured run measure the children too.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
    "COVERAGE_FILE",
)
TAIL_LINES = 12
TAIL_BYTES = 16_384
TAIL_LINE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended. A negative `exit_code` is a signal's number."""

    exit_code: int
    overdue: bool = False

    @property
    def drained(self) -> bool:
        return self.exit_code == 0 and not self.overdue

    def __str__(self) -> str:
        if self.overdue:
            return "did not drain in time and was killed"
        if self.exit_code < 0:
            return f"was ended by {signal.Signals(-self.exit_code).name}"
        return f"{'drained' if self.drained else 'ended'} with exit code {self.exit_code}"


class Child:
    """One running child process in a session of its own, so that the terminal's Ctrl-C misses it.

    Its output goes to `NAME.log` and `NAME.err.log` in `folder`, which is its current directory too.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name.replace(' ', '-')}.log"
        self.errors = self.log.with_suffix(".err.log")
        with self.log.open("wb") as log, self.errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603  # our own programs
                command,
                cwd=folder,
                env={**_clean_environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise DemoFault, with the end of its log, if the child is no longer running."""
        exit_code = self._process.poll()
        if exit_code is not None:
            tail = "\n".join(f"    {line}" for line in _tail(self.log) + _tail(self.errors))
            raise DemoFault(f"the {self.name} {Ending(exit_code)} before its time. Its last lines:\n{tail}")

    def stop(self, limit_seconds: float) -> Ending:
        """Ask it to end, wait for it, kill it when `limit_seconds` are over. May be called again."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return Ending(self._process.wait(limit_seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            return Ending(self._process.wait(), overdue=True)

    def kill(self) -> None:
        """End it and its own children at once."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def start_task_api(folder: Path) -> Child:
    return Child(
        "task API",
        (*TASK_API_COMMAND, "--host", "127.0.0.1", "--port", "0", "--database", str(folder / "tasks.sqlite")),
        {"PYTHONPATH": str(CHECKOUT)},
        folder,
    )


def start_service(folder: Path, task_api_url: str, port: int) -> Child:
    settings = {
        "API_BASE_URL": task_api_url,
        "EMBEDDING_PROVIDER": "local",
        "STATE_DIR": str(folder / "state"),
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": str(port),
        "POLLING_INTERVAL_SECONDS": "5",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }
    # Inherited, so that a stop in the service's first moments waits until it can drain; it unblocks then.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return Child("service", SERVICE_COMMAND, settings, folder)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _clean_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def _tail(file: Path) -> list[str]:
    with file.open("rb") as opened:
        opened.seek(max(0, opened.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = opened.read().decode(errors="replace").splitlines()
    return [line[:TAIL_LINE_CHARACTERS] for line in lines[-TAIL_LINES:]]
