"""A Debian booted by systemd-nspawn: a real systemd, in the host's network. Needs root."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.verify.checks import CheckFailedError, run, wait_for
from deploy.verify.children import Child

BOOT_SECONDS = 60.0
HALT_SECONDS = 30.0


class Machine:
    """Boots `tree` with the `with` block and turns it off at its end."""

    def __init__(self, tree: Path, log: Path) -> None:
        self._tree = tree
        self._log = log
        self._child: Child
        self._init: int

    def __enter__(self) -> Self:
        self._child = Child(
            [
                "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
                "--machine=ai-task-processor-verify", f"--directory={self._tree}",
                "--console=pipe",
            ],
            self._log,
        )  # fmt: skip
        try:
            self._init = wait_for("the machine's first process", self._first_process, BOOT_SECONDS)
            wait_for("the machine to boot", self._booted, BOOT_SECONDS)
        except CheckFailedError:
            self._child.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.kill(self._init, signal.SIGRTMIN + 4)  # systemd's word for "power off"
        self._child.wait(HALT_SECONDS)

    def run(self, *command: str) -> str:
        """The output of a command inside. Raises CheckFailedError if it fails."""
        return run("nsenter", f"--target={self._init}", "--all", "--wd=/", "--", *command)

    def unit(self, name: str, unit_property: str) -> str:
        """One property of a unit, as `systemctl show` has it."""
        return self.run("systemctl", "show", "--value", f"--property={unit_property}", name).strip()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def _first_process(self) -> int | None:
        self._child.check()
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text().split()
        return next((int(pid) for pid in children if _name(pid) == "systemd"), None)

    def _booted(self) -> bool:
        self._child.check()
        answer = subprocess.run(  # noqa: S603  # it fails until the bus is up, and that is no fault
            ["nsenter", f"--target={self._init}", "--all", "--wd=/", "--", "systemctl", "is-system-running"],  # noqa: S607  # from PATH
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.stdout.strip() in ("running", "degraded")


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""
