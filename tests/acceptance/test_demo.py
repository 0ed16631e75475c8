"""`python run.py demo` where stdout is no terminal."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import run_command
from tests.acceptance.service import RUN, clean_environment
from tests.eventually import eventually

PROGRESS = re.compile(r" +\d+\.\d s +\d+ of \d+ tasks done, \d+ tasks/s, \d+ failed")


def test_demo_succeeds_with_plain_lines_and_a_summary(tmp_path: Path) -> None:
    outcome = run_command(tmp_path, "demo", "--tasks", "40", TMPDIR=str(tmp_path))
    assert outcome.exit_code == 0, outcome
    assert outcome.errors == []
    assert any(PROGRESS.match(line) and "40 of 40" in line for line in outcome.lines)
    assert not any("\x1b" in line or "\r" in line for line in outcome.lines)
    assert not list(tmp_path.iterdir()), "it leaves no files behind"


@pytest.mark.parametrize(
    ("tasks", "some"),
    [(1000, False), pytest.param(8000, True, marks=pytest.mark.slow)],
    ids=["at its first line", "once some tasks are done"],
)
def test_ctrl_c_drains_the_demo(tmp_path: Path, tasks: int, some: bool) -> None:
    demo = subprocess.Popen(
        [sys.executable, RUN, "demo", "--tasks", str(tasks)],
        cwd=tmp_path,
        env=clean_environment({"TMPDIR": str(tmp_path)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        lines = (line for line in demo.stdout if PROGRESS.match(line) and not (some and " 0 of " in line))
        assert next(lines, None), "it ended before any progress"
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=30)
    finally:
        demo.kill()
        demo.communicate()
    assert demo.returncode == 130
    assert re.search(rf"stopped: \d+ of {tasks} tasks done, the service drained with exit code 0", rest), rest
    assert errors == ""
    eventually(lambda: not list(tmp_path.iterdir()), what="a clean end leaves no files behind")
