"""An engine that speaks Docker's API (podman), its network apart from the machine's. Needs root."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.verify.checks import run, wait_for
from deploy.verify.children import Child

CONFIGURATION = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
# A short name is an image of this machine.
compat_api_enforce_docker_hub = false
[network]
network_backend = "netavark"
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
"""
PACKAGES = "podman runc netavark aardvark-dns iptables catatonit docker-compose busybox-static"


class Engine:
    """Serves Docker's API on a socket in `folder`. For a process that has a network namespace of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"unix://{folder / 'engine.sock'}"
        configuration = folder / "containers.conf"
        configuration.write_text(CONFIGURATION)
        self._env = {**os.environ, "CONTAINERS_CONF": str(configuration)}
        self._ended = threading.Event()
        self._health_thread = threading.Thread(target=self._ask_for_health, daemon=True)
        self._child: Child

    def podman(self, *command: str) -> str:
        return run("podman", *command, env=self._env)

    def state(self, name: str) -> dict[str, object]:
        """The state of a container: `Status`, `ExitCode` and more."""
        described = json.loads(self.podman("container", "inspect", name))
        state: dict[str, object] = described[0]["State"]
        return state

    def __enter__(self) -> Self:
        run("ip", "link", "set", "lo", "up")
        self._child = Child(
            ["podman", "system", "service", "--time=0", self.address], self._folder / "engine.log", self._env
        )
        socket = Path(self.address.removeprefix("unix://"))
        wait_for("the engine's socket", socket.exists, 30)
        self._health_thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._health_thread.join()
        self._child.end()

    def _ask_for_health(self) -> None:
        """Podman leaves the timing of health checks to systemd, which is not here."""
        while not self._ended.wait(1.0):
            for container in self._output("ps", "--quiet").split():
                self._output("healthcheck", "run", container)

    def _output(self, *command: str) -> str:
        """What podman says; a container that is not healthy, or gone by now, is no fault of ours."""
        done = subprocess.run(  # noqa: S603  # fixed commands of our own
            [shutil.which("podman") or "podman", *command],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout
