"""Memory with long texts, at the default settings: what a row of the sizing table takes.

`python -m pytest -m slow -s tests/acceptance/test_long_texts.py` prints the figures.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import psutil
import pytest

from supervisor.journal.journal import TaskJournal
from supervisor.journal.report_bodies import BodyFiles
from supervisor.journal.state_directory import StateDirectory
from supervisor.journal.task_record import TaskRecord
from supervisor.task_api.wire_formats import parse_page
from tests.acceptance.conftest import StartService
from tests.acceptance.pace import slow
from tests.acceptance.scripted_api import EMPTY_PAGE
from tests.acceptance.service import OPENAI_KEY, ServiceProcess
from tests.builders import PROCESSORS
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.scripted_http import Answer, Request, ScriptedServer

pytestmark = pytest.mark.slow

WORDS = "a text of some length and of no other sense "
CALL_SECONDS = 1.0
WATCHED_SECONDS = 8.0
"""Long enough for the largest page, and for units that run, end and are followed by others."""
MOST_SUPERVISOR_MB = 600
RUNS = 3
"""A first, one after a kill, and one on a journal that has all of the tasks."""


class LongTexts:
    """A task API that lists `count` tasks with texts of so many bytes, until they have a final report."""

    def __init__(self, count: int, size_bytes: int) -> None:
        text = (WORDS * (size_bytes // len(WORDS) + 1))[: size_bytes - 10]
        self.items = {
            f"t{number}": orjson.dumps(
                {
                    "id": f"t{number}",
                    "type": "text-embedding",
                    "status": "pending",
                    "input_data": {"text": f"{number:09} {text}", "model": "long"},
                }
            )
            for number in range(count)
        }
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        target = urlsplit(request.target)
        if request.method == "GET":
            limit = int(parse_qs(target.query)["limit"][0])
            with self._lock:
                items = list(self.items.values())[:limit]
            return Answer(200, b"[" + b",".join(items) + b"]") if items else EMPTY_PAGE
        if b"succeeded" in request.body[:40]:
            with self._lock:
                self.items.pop(unquote(target.path.rpartition("/")[2]), None)
        return Answer(200, b"{}")

    def wait_for_report(self) -> None:
        """Until one more task is done."""
        left = len(self.items)
        eventually(lambda: len(self.items) < left, 60.0, "a task is reported")


class Peaks:
    """The most memory that was seen of a service, in MB, while it is watched."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self.worker = 0

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for process in self._service.descendants():
                try:
                    self.worker = max(self.worker, process.memory_full_info().uss // 1_000_000)
                except psutil.Error:
                    continue
            time.sleep(0.02)

    @property
    def supervisor(self) -> int:
        """By the kernel's own account, which misses nothing."""
        lines = Path(f"/proc/{self._service.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM:"))


@pytest.fixture
def slow_provider() -> Iterator[StubProvider]:
    with StubProvider(policy=slow(CALL_SECONDS)) as running:
        yield running


def fill_journal(folder: Path, items: dict[str, bytes]) -> None:
    """As a run left it that died, with all tasks in the table."""
    state = StateDirectory(folder)
    journal = TaskJournal(state.journal, BodyFiles(state.bodies), time.time)
    for item in items.values():
        page = parse_page(b"[" + item + b"]", PROCESSORS, lambda: "made-here")
        journal.note_ready(TaskRecord(task, 0.0) for task in page.tasks)
        journal.commit()
    journal.close()
    state.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("count", "size_bytes", "settings"),
    [
        (8000, 100_000, {}),
        (800, 1_000_000, {}),
        (800, 1_000_000, {"CLAIM_TASKS": "true"}),
        (800, 1_000_000, {"EMBEDDING_PROVIDER": "local"}),
        (80, 9_900_000, {}),
        (80, 9_900_000, {"EMBEDDING_PROVIDER": "local", "CONCURRENCY_LIMIT": "1"}),
    ],
    ids=str,
)
def test_long_texts_fit_into_memory_before_and_after_a_kill(
    launch: StartService,
    slow_provider: StubProvider,
    tmp_path: Path,
    count: int,
    size_bytes: int,
    settings: dict[str, str],
) -> None:
    api = LongTexts(count, size_bytes)
    with ScriptedServer(api) as server:
        peers = {
            "API_BASE_URL": server.url,
            "OPENAI_BASE_URL": slow_provider.base_url,
            "OPENAI_API_KEY": OPENAI_KEY,
        }
        for run in range(RUNS):
            if run == RUNS - 1:
                peers["STATE_DIR"] = str(tmp_path / "filled")
                fill_journal(tmp_path / "filled", api.items)
            service = launch(**peers, **settings)
            peaks = Peaks(service)
            api.wait_for_report()
            peaks.watch(WATCHED_SECONDS)
            print(
                f"{count} x {size_bytes:,} bytes, {settings}, run {run + 1}:"
                f" supervisor {peaks.supervisor} MB, worker {peaks.worker} MB"
            )
            assert peaks.supervisor < MOST_SUPERVISOR_MB
            assert not service.log_lines("worker_died")
            service.kill9()
    paid = slow_provider.paid.values()
    assert max(paid, default=0) <= RUNS, "each kill may cost what was in work, and no more"
