"""A worker process ends when its work does, whatever a plug-in left in it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
LEAVES_A_THREAD = "threading.Thread(target=time.sleep, args=(60,)).start()"


def exit_code_of(*lines: str) -> int:
    source = "\n".join(["import sys, threading, time", "from workers.process.threads import *", *lines])
    return subprocess.run([sys.executable, "-c", source], cwd=CHECKOUT, timeout=20, check=False).returncode


@pytest.mark.parametrize(
    ("last", "code"), [("pass", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("raise MemoryError", 1)]
)
def test_thread_that_is_left_does_not_keep_the_process(last: str, code: int) -> None:
    assert (
        exit_code_of("def work():", f"    {LEAVES_A_THREAD}", f"    {last}", "end_process_after(work)")
        == code
    )


def test_end_that_hangs_is_cut_short() -> None:
    assert exit_code_of("end_process_later(0.1)", "time.sleep(60)") == 0
