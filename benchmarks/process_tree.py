"""What a contender's processes cost, those that ended included. Linux only: all of it comes from /proc.

This process adopts every descendant whose parent ends, so none leaves the tree before it was counted.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAUSE_SECONDS = 0.02
PROC = Path("/proc")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends. OSError if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let this process adopt orphans")


class ProcessTree:
    """All descendants of this process but `others` (process ids) and theirs."""

    def __init__(self, root: "subprocess.Popen[bytes]", others: frozenset[int]) -> None:
        self._root = root
        self._others = others
        self._reaped_seconds = 0.0

    def alive(self) -> bool:
        """Whether the first process of the tree runs; ended ones are reaped."""
        self._reap()
        return self._root.returncode is None

    def cpu_seconds(self) -> float:
        """User and system time so far of every process of the tree, ended ones included."""
        self._reap()
        spent = self._reaped_seconds
        for pid in self._pids():
            fields = _stat(pid)
            if fields:
                # Its own time, then that of the children it has waited for.
                spent += sum(int(ticks) for ticks in fields[11:15]) / TICKS_A_SECOND
        return spent

    def pss_bytes(self) -> int:
        """Memory of the tree now, shared pages divided among those who share them."""
        return sum(_pss_bytes(pid) for pid in self._pids())

    def peak_root_bytes(self) -> int:
        """The most resident memory that the first process ever had, shared pages included."""
        for line in (PROC / str(self._root.pid) / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def end(self, patience_seconds: float) -> None:
        """SIGTERM to the first process; SIGKILL to whatever is left when patience ends."""
        if self.alive():
            os.kill(self._root.pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_seconds
        while pids := self._pids():
            if time.monotonic() > deadline:
                for pid in pids:
                    _kill(pid)
            time.sleep(PAUSE_SECONDS)
            self._reap()

    def _reap(self) -> None:
        me = os.getpid()
        for pid in self._pids():
            fields = _stat(pid)
            if not fields or fields[0] != "Z" or int(fields[1]) != me:
                continue
            _, status, usage = os.wait4(pid, 0)
            self._reaped_seconds += usage.ru_utime + usage.ru_stime
            if pid == self._root.pid:
                self._root.returncode = os.waitstatus_to_exitcode(status)

    def _pids(self) -> list[int]:
        children: defaultdict[int, list[int]] = defaultdict(list)
        for folder in PROC.iterdir():
            fields = _stat(int(folder.name)) if folder.name.isdigit() else []
            if fields:
                children[int(fields[1])].append(int(folder.name))
        found: list[int] = []
        parents = [os.getpid()]
        while parents:
            mine = [pid for pid in children[parents.pop()] if pid not in self._others]
            found += mine
            parents += mine
        return found


def cpu_seconds_of(pid: int) -> float:
    """User and system time so far of one process; 0 if it is gone."""
    return sum(int(ticks) for ticks in _stat(pid)[11:13]) / TICKS_A_SECOND


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if the process is gone."""
    try:
        return (
            (PROC / str(pid) / "stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_bytes(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
