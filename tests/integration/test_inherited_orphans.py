"""The service as the first process of a container becomes the parent of workers whose forkserver died."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
AS_FIRST_PROCESS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
PROGRAM = """
import os, subprocess, sys, time
from multiprocessing import forkserver, resource_tracker
from supervisor.pool.local import collect_dead_orphans, inherits_orphans

assert inherits_orphans()
forkserver.ensure_running()
middle = subprocess.Popen(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE, text=True)
orphan = int(middle.communicate()[0])
assert os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT).si_pid == orphan, "ours, and dead"
collect_dead_orphans()
try:
    os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOHANG | os.WNOWAIT)
except ChildProcessError:
    print("collected")

server = forkserver._forkserver._forkserver_pid
os.kill(server, 9)
os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
collect_dead_orphans()
assert os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT).si_pid == server, "left to its owner"
forkserver.ensure_running()
assert forkserver._forkserver._forkserver_pid != server
print("forkserver is back")
"""


def may_unshare() -> bool:
    try:
        return subprocess.run([*AS_FIRST_PROCESS, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="needs the right to make a process namespace")
def test_orphans_are_collected_and_what_multiprocessing_waits_for_is_not() -> None:
    done = subprocess.run(
        [*AS_FIRST_PROCESS, sys.executable, "-c", PROGRAM],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.splitlines() == ["collected", "forkserver is back"], done.stderr
