"""Nodes of a Ray cluster, each a `ray start --block` on one of the two machines."""

import contextlib
import os
import sys
from pathlib import Path

import psutil

from deploy.verify.checks import wait_for
from deploy.verify.children import Child
from deploy.verify.ray.namespaces import Machine

HEAD_PORT = 6380
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "only-for-this-check-0123456789abcdef",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HOME": os.environ.get("HOME", "/"),
}
"""Of nodes and of the service."""
OBJECT_STORE_BYTES = 200_000_000
START_SECONDS = 60.0


class RayNode:
    """One node, which holds the head if `machine` is `head`."""

    def __init__(self, folder: Path, machine: Machine, head: Machine, cpus: int) -> None:
        self._folder = folder
        self._machine = machine
        self._head = head
        self._cpus = cpus
        self._starts = 0
        self._child: Child | None = None

    @property
    def head_address(self) -> str:
        return f"{self._head.address}:{HEAD_PORT}"

    def start(self) -> None:
        """Returns when it is part of the cluster."""
        self._starts += 1
        name = f"{self._machine.name}-{self._starts}"
        if self._machine is self._head:
            files = self._folder / name
            role = ["--head", f"--port={HEAD_PORT}", "--include-dashboard=false", f"--temp-dir={files}"]
        else:
            role = [f"--address={self.head_address}"]
        command = self._machine.command(
            Path(sys.executable).parent / "ray",
            "start",
            "--block",
            f"--node-ip-address={self._machine.address}",
            f"--num-cpus={self._cpus}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            *role,
        )
        child = self._child = Child(command, self._folder / f"{name}.log", ENVIRONMENT)

        def has_started() -> bool:
            child.check()
            return "Ray runtime started" in child.output()

        wait_for(f"the Ray node {name}", has_started, START_SECONDS)

    def kill(self) -> None:
        """As a machine that loses power: all of its processes at once."""
        if self._child is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._child.pid)
            first.suspend()  # so that it starts none meanwhile
            for process in (first, *first.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._child.wait(START_SECONDS)
        self._child = None
