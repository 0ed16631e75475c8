"""A stub as a process of its own, and its admin pages."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

CHECKOUT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 60


class StubProcess:
    """Lives inside a `with`. It ends when its standard input does, so it cannot outlive this process."""

    def __init__(self, module: str, *options: str) -> None:
        self._command = [sys.executable, "-m", f"benchmarks.stubs.{module}", *options]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{self._command[2]} did not start; what it said stands above")
        self.base_url = f"http://127.0.0.1:{port}"
        self.pid = self._process.pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=ANSWER_SECONDS)

    def get(self, page: str) -> Any:
        """The JSON of an admin page: `stats`, `latencies`, `grants`."""
        with urlopen(f"{self.base_url}/admin/{page}", timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)

    def post(self, page: str) -> None:
        """Do what an admin page does: `seed?count=N`, `reset`."""
        with urlopen(Request(f"{self.base_url}/admin/{page}", method="POST"), timeout=ANSWER_SECONDS):
            return
