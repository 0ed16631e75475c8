"""Who is measured, and how each is started."""

import os
import socket
import sys
from enum import StrEnum
from pathlib import Path

from benchmarks.stub_process import CHECKOUT

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


class Contender(StrEnum):
    """`service-single` is the service with BATCH_MAX_TASKS=1: a text a call, as the thread pool does it.

    `service-bulk` is the service with BULK_REPORTS=100.
    """

    SERVICE = "service"
    SERVICE_SINGLE = "service-single"
    SERVICE_BULK = "service-bulk"
    THREAD_POOL = "thread-pool"
    FLOOR = "floor"

    @property
    def is_service(self) -> bool:
        """Whether it is this project."""
        return self in {Contender.SERVICE, *_CHANGED}


_CHANGED = {
    Contender.SERVICE_SINGLE: {"BATCH_MAX_TASKS": "1"},
    Contender.SERVICE_BULK: {"BULK_REPORTS": "100"},
}
"""What these set otherwise than `service`."""


def command(contender: Contender) -> list[str]:
    """What starts it; all run under this interpreter."""
    if contender.is_service:
        return [sys.executable, str(CHECKOUT / "run.py"), "run"]
    peer = contender.value.replace("-", "_")
    return [sys.executable, str(CHECKOUT / "benchmarks" / "peers" / f"{peer}.py")]


def environment(contender: Contender, settings: dict[str, str], folder: Path) -> dict[str, str]:
    """Nothing of the caller's settings gets in, or every machine would measure something else."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **inherited,
        "OPENAI_API_KEY": "sk-benchmark",
        "CONCURRENCY_LIMIT": "5",
        "POLLING_INTERVAL_SECONDS": "1",
        "STATE_DIR": str(folder / "state"),
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": str(_free_port()),
        **_CHANGED.get(contender, {}),
        **settings,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
