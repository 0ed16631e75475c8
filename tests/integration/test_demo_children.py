"""The demo's children: how they are started, watched and ended."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.demo.fault import DemoFault
from examples.demo.processes import Child, Ending, free_port, start_task_api

LIMIT_SECONDS = 20.0
DRAINS = (
    "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)
STAYS = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"

StartChild = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartChild]:
    children: list[Child] = []

    def start_child(program: str) -> Child:
        children.append(Child("test child", (sys.executable, "-c", program), {"GIVEN": "yes"}, tmp_path))
        return children[-1]

    yield start_child
    for child in children:
        child.kill()
        child.stop(LIMIT_SECONDS)


def wait_for_line(child: Child, line: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while line not in child.log.read_text(encoding="utf-8").splitlines():
        child.check()
        assert time.monotonic() < deadline, f"the child never said {line!r}"


def test_a_child_that_drains_ends_with_zero(start: StartChild) -> None:
    child = start(DRAINS)
    wait_for_line(child, "up")
    ending = child.stop(LIMIT_SECONDS)
    assert ending == Ending(0)
    assert ending.drained
    assert str(ending) == "drained with exit code 0"
    assert child.stop(LIMIT_SECONDS) == ending


def test_a_child_that_does_not_drain_in_time_is_killed(start: StartChild) -> None:
    child = start(STAYS)
    wait_for_line(child, "up")
    ending = child.stop(0.1)
    assert not ending.drained
    assert str(ending) == "did not drain in time and was killed"


def test_kill_ends_the_children_of_a_child_too(start: StartChild) -> None:
    child = start(
        "import subprocess, sys;"
        "sub = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(sub.pid, flush=True); print('up', flush=True); sub.wait()"
    )
    wait_for_line(child, "up")
    grandchild = int(child.log.read_text(encoding="utf-8").splitlines()[0])
    child.kill()
    assert str(child.stop(LIMIT_SECONDS)) == "was ended by SIGKILL"
    deadline = time.monotonic() + LIMIT_SECONDS
    while _runs(grandchild):
        assert time.monotonic() < deadline, "the grandchild goes on"


def test_an_early_end_is_told_with_the_last_lines(start: StartChild) -> None:
    child = start("import sys; print('first words'); sys.exit('no such luck')")
    assert _ended(child)
    with pytest.raises(DemoFault, match=r"(?s)test child ended with exit code 1 .*first words.*no such luck"):
        child.check()


def test_settings_of_the_user_do_not_reach_a_child(
    start: StartChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "the user's own")
    child = start(
        "import os; print(os.environ['GIVEN'], 'API_TOKEN' in os.environ, os.getcwd());"
        "print(os.getsid(0) == os.getpid())"
    )
    assert _ended(child)
    assert child.log.read_text(encoding="utf-8").split() == ["yes", "False", str(child.log.parent), "True"]


def test_task_api_starts_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    child = start_task_api(tmp_path)
    try:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not child.log.read_text(encoding="utf-8").startswith("task API http://127.0.0.1:"):
            child.check()
            assert time.monotonic() < deadline
    finally:
        ending = child.stop(LIMIT_SECONDS)
    assert ending.drained


def test_a_free_port_is_a_port() -> None:
    assert 1024 <= free_port() <= 65535


def _ended(child: Child) -> bool:
    """Wait until it has ended by itself."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        try:
            child.check()
        except DemoFault:
            return True
    return False


def _runs(pid: int) -> bool:
    """Whether a process runs; an ended one that nobody has collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
