"""Processes that a check starts, and ends again."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.verify.checks import CheckFailedError

CHECKOUT = Path(__file__).resolve().parents[2]
END_SECONDS = 15.0
TAIL_CHARACTERS = 2000


class Child:
    """A process in a process group of its own, its output in `log`. Ended with the `with` block."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  # fixed commands of our own
                [str(part) for part in command],
                cwd=CHECKOUT,
                env={"PATH": os.environ["PATH"], **env} if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def check(self) -> None:
        """Raise CheckFailedError if it has ended."""
        if self.exit_code is not None:
            raise CheckFailedError(
                f"{self.log.stem} ended with {self.exit_code}:\n{self.output()[-TAIL_CHARACTERS:]}"
            )

    def end(self, limit_seconds: float = END_SECONDS) -> int:
        """SIGTERM, and then as `wait`."""
        if self.exit_code is None:
            self._process.terminate()
        return self.wait(limit_seconds)

    def wait(self, limit_seconds: float) -> int:
        """Its exit code. SIGKILL to the whole group when `limit_seconds` are over."""
        try:
            return self._process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()


def task_api(folder: Path, port: int) -> Child:
    """The reference task API on 127.0.0.1:port."""
    database = folder / "tasks.sqlite"
    return Child(
        [sys.executable, "-m", "examples.task_api", "--port", str(port), "--database", database],
        folder / "task-api.log",
        {},
    )


def stub_provider(folder: Path, port: int, *options: str) -> Child:
    """The tests' provider of embeddings on 127.0.0.1:port."""
    return Child(
        [sys.executable, "-m", "tests.stubs.provider", "--port", str(port), *options],
        folder / "provider.log",
        {},
    )


def service(folder: Path, settings: Mapping[str, str]) -> Child:
    """The service, with nothing in its environment but `settings`."""
    return Child(
        [sys.executable, CHECKOUT / "run.py"],
        folder / "service.log",
        {"STATE_DIR": str(folder / "state"), "METRICS_HOST": "127.0.0.1", **settings},
    )
