"""One contender between fresh stubs: started, warm, watched, and ended whatever happens."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.contenders import Contender, command, environment
from benchmarks.process_tree import ProcessTree
from benchmarks.stub_process import StubProcess

WARM_TASKS = 50
WARM_SECONDS = 90.0
PAUSE_SECONDS = 0.02
MEMORY_EVERY_SECONDS = 0.5
PATIENCE_SECONDS = 15.0
LAST_LINES = 15


class RunFailedError(Exception):
    """The contender ended or did not get on; the message has its last lines."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow the stubs are, and what the provider allows a minute (0: everything)."""

    api_ms: float = 0.0
    provider_ms: float = 0.0
    text_ms: float = 0.0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


FAST = Pace()
REAL = Pace(api_ms=2, provider_ms=100, text_ms=0.2)


@dataclass(slots=True)
class Course:
    """A contender that runs, and what it talks to."""

    api: StubProcess
    provider: StubProcess
    tree: ProcessTree
    settings: dict[str, str]
    log: Path
    started_at: float
    """Monotonic."""
    peak_pss_bytes: int = 0
    _memory_read_at: float = field(default=0.0)

    def wait_until(self, condition: Callable[[], bool], what: str, limit_seconds: float) -> None:
        """Wait for `condition`; meanwhile the memory is watched. RunFailedError if it does not come."""
        deadline = time.monotonic() + limit_seconds
        while not condition():
            if not self.tree.alive():
                raise RunFailedError(f"the contender ended while waiting until {what}\n{self._last_lines()}")
            if time.monotonic() > deadline:
                raise RunFailedError(f"not in {limit_seconds:.0f} s: {what}\n{self._last_lines()}")
            self._watch_memory()
            time.sleep(PAUSE_SECONDS)
        self.peak_pss_bytes = max(self.peak_pss_bytes, self.tree.pss_bytes())

    def warm_up(self) -> None:
        """Imports, connections and first calls are behind the contender; then the stubs forget them."""
        self.wait_until(lambda: bool(self.api.get("stats")["polls"]), "it polls", WARM_SECONDS)
        self.api.post(f"seed?count={WARM_TASKS}")
        self.wait_until_settled(WARM_TASKS, WARM_SECONDS)
        self.api.post("reset")
        self.provider.post("reset")

    def wait_until_settled(self, tasks: int, limit_seconds: float) -> None:
        """All of `tasks` are reported, and the contender has asked for more since: nothing is left to do."""

        def settled() -> bool:
            counts = self.api.get("stats")
            return bool(counts["final"] >= tasks and counts["last_poll_at"] > counts["last_final_at"])

        self.wait_until(settled, f"{tasks} tasks are reported", limit_seconds)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The service's log lines of this event, so far."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if f'"{name}"' in line and line.endswith("}")]

    def status(self) -> dict[str, Any]:
        """What the service says of itself."""
        url = f"http://127.0.0.1:{self.settings['METRICS_PORT']}/status"
        with urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            status: dict[str, Any] = json.load(answer)
            return status

    def _watch_memory(self) -> None:
        now = time.monotonic()
        if now - self._memory_read_at >= MEMORY_EVERY_SECONDS:
            self._memory_read_at = now
            self.peak_pss_bytes = max(self.peak_pss_bytes, self.tree.pss_bytes())

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])


@contextmanager
def course(contender: Contender, pace: Pace, settings: dict[str, str] | None = None) -> Iterator[Course]:
    """Start stubs and contender; end all of them, and remove what they wrote."""
    provider = StubProcess(
        "provider",
        *("--base-ms", str(pace.provider_ms), "--text-ms", str(pace.text_ms)),
        *("--requests-per-minute", str(pace.requests_per_minute)),
        *("--tokens-per-minute", str(pace.tokens_per_minute)),
    )
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
        StubProcess("task_api", "--latency-ms", str(pace.api_ms)) as api,
        provider,
    ):
        folder = Path(name)
        urls = {"API_BASE_URL": api.base_url, "OPENAI_BASE_URL": f"{provider.base_url}/v1"}
        effective = environment(contender, {**urls, **(settings or {})}, folder)
        log = folder / "log"
        with log.open("wb") as sink:
            started_at = time.monotonic()
            # Its own session: Ctrl-C is for the benchmark, which then ends the contender.
            root = subprocess.Popen(
                command(contender),
                cwd=folder,
                env=effective,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        tree = ProcessTree(root, frozenset({api.pid, provider.pid}))
        try:
            yield Course(api, provider, tree, effective, log, started_at)
        finally:
            tree.end(PATIENCE_SECONDS)
