"""Forkserver and workers of a supervisor that runs elsewhere, and is killed."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

CHECKOUT = Path(__file__).parents[2]

SUPERVISOR = textwrap.dedent(
    """
    import sys
    from pathlib import Path

    sys.path.insert(0, sys.argv[2])

    from shared.provider_accounts import LOCAL
    from tests.worker_configs import make_config
    from workers.process.pipe import receive_message
    from workers.process.entrypoint import worker_main
    from workers.process.forkserver import start_forkserver

    config = make_config(Path(sys.argv[1]), provider=LOCAL)
    context = start_forkserver([LOCAL], [])
    started = []
    for slot in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=worker_main, args=(slot, theirs, config))
        process.start()
        theirs.close()
        receive_message(ours)
        started.append((ours, process))
    print(*[process.pid for _, process in started], flush=True)
    sys.stdin.read()
    """
)


class Family:
    """A supervisor to be killed, the forkserver beneath it and two workers, each watched for its death."""

    def __init__(self, supervisor: subprocess.Popen[str]) -> None:
        assert supervisor.stdout is not None
        self.supervisor = supervisor
        self.workers = [psutil.Process(int(pid)) for pid in supervisor.stdout.readline().split()]
        assert len(self.workers) == 2
        forkserver = self.workers[0].parent()
        assert forkserver is not None
        self.forkserver = forkserver
        self._watched = [os.pidfd_open(process.pid) for process in [self.forkserver, *self.workers]]

    def wait_for_deaths(self, timeout_seconds: float) -> int:
        """How many of forkserver and workers are dead in time. A dead one counts though nobody reaped it."""
        deadline = time.monotonic() + timeout_seconds
        dead = [
            watched
            for watched in self._watched
            if select.select([watched], [], [], max(0.0, deadline - time.monotonic()))[0]
        ]
        return len(dead)

    def close(self) -> None:
        self.supervisor.kill()
        for watched in self._watched:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(watched, signal.SIGKILL)
            os.close(watched)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """Started away from the checkout, as a user may."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), str(CHECKOUT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as supervisor:
        family = Family(supervisor)
        yield family
        family.close()


@pytest.mark.slow
def test_the_forkserver_has_its_imports_wherever_the_service_was_started(family: Family) -> None:
    assert family.forkserver.cmdline()[0] == "ai-task-processor: forkserver"


def test_idle_workers_do_not_outlive_their_supervisor(family: Family) -> None:
    family.supervisor.kill()
    assert family.wait_for_deaths(2.0) == 3


@pytest.mark.slow
def test_stopped_workers_do_not_outlive_their_supervisor(family: Family) -> None:
    for process in family.workers:
        process.suspend()
    family.supervisor.kill()
    assert family.wait_for_deaths(2.0) == 3


def test_workers_do_not_outlive_their_forkserver(family: Family) -> None:
    family.forkserver.kill()
    assert family.wait_for_deaths(2.0) == 3
