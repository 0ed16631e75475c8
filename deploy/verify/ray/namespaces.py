"""Two machines, as far as the network goes: a namespace each, and a cable between them."""

import contextlib
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.verify.checks import CheckFailedError, run

BITS = 24


class Machine:
    """A network namespace with loopback and one address."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def command(self, *command: str | Path) -> list[str | Path]:
        """The command, to be run there."""
        return ["ip", "netns", "exec", self.name, *command]

    def pids(self) -> set[int]:
        """The processes that are there now."""
        return {int(pid) for pid in run("ip", "netns", "pids", self.name).split()}

    def power_off(self) -> None:
        """Kill all processes that are there, and those that they start meanwhile."""
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class TwoMachines:
    """`first` and `second` reach each other and nobody else, from the `with` on to its end. Needs root."""

    def __init__(self, prefix: str) -> None:
        self.first = Machine(f"{prefix}-1", "10.123.45.1")
        self.second = Machine(f"{prefix}-2", "10.123.45.2")

    def __enter__(self) -> Self:
        self.remove()
        try:
            self._make()
        except CheckFailedError:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """With all processes in them."""
        for machine in (self.first, self.second):
            with contextlib.suppress(CheckFailedError):  # there is none
                machine.power_off()
                run("ip", "netns", "delete", machine.name)

    def _make(self) -> None:
        for machine in (self.first, self.second):
            run("ip", "netns", "add", machine.name)
            run(*machine.command("ip", "link", "set", "lo", "up"))
        run(
            "ip", "link", "add", "eth0", "netns", self.first.name, "type", "veth",
            "peer", "name", "eth0", "netns", self.second.name,
        )  # fmt: skip
        for machine in (self.first, self.second):
            run(*machine.command("ip", "address", "add", f"{machine.address}/{BITS}", "dev", "eth0"))
            run(*machine.command("ip", "link", "set", "eth0", "up"))
