"""Standard streams that are closed, or that nobody reads."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.service import API_TOKEN, OPENAI_KEY, RUN, ServiceProcess, clean_environment
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider

GOOD = {"API_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": OPENAI_KEY, "CONCURRENCY_LIMIT": "1"}
ALL_PROCESSES = 4
"""The supervisor, the resource tracker, the forkserver, and a worker."""
MIN_PIPE_BYTES = 4096


# tests/integration/test_standard_streams.py shows the same of each stream, without the service around it.
@pytest.mark.parametrize(
    "closing",
    ["<&- >&- 2>&-", *(pytest.param(one, marks=pytest.mark.slow) for one in ("<&-", ">&-", "2>&-"))],
)
def test_no_file_of_the_service_takes_the_place_of_a_closed_stream(tmp_path: Path, closing: str) -> None:
    service = ServiceProcess(tmp_path, GOOD, through=("bash", "-c", f'exec "$@" {closing}', "bash"))
    try:
        eventually(lambda: len(service.descendants()) == ALL_PROCESSES - 1, 20.0, "every process has started")
        for pid in (service.pid, *(process.pid for process in service.descendants())):
            for stream in (0, 1, 2):
                target = Path(f"/proc/{pid}/fd/{stream}").readlink()
                assert target in (Path("/dev/null"), service.log, service.errors), (pid, stream)
        assert service.stop() == 0
    finally:
        service.clean_up()


@pytest.mark.slow
def test_log_that_nobody_reads_stops_neither_work_nor_the_end(
    tmp_path: Path, task_api: Peer, provider: StubProvider
) -> None:
    settings = GOOD | {
        "API_BASE_URL": task_api.url,
        "API_TOKEN": API_TOKEN,
        "OPENAI_BASE_URL": provider.base_url,
        "METRICS_PORT": "0",
        "POLLING_MIN_INTERVAL_SECONDS": "0.05",
    }
    task_api.add(200)
    service = subprocess.Popen(
        [sys.executable, RUN],
        cwd=tmp_path,
        env=clean_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with service:
        assert service.stdout is not None
        fcntl.fcntl(service.stdout, fcntl.F_SETPIPE_SZ, MIN_PIPE_BYTES)
        try:
            task_api.wait_until_done()
            task_api.assert_each_succeeded_once()
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == 0
        finally:
            service.kill()
        lines = os.read(service.stdout.fileno(), MIN_PIPE_BYTES).splitlines()
    assert all(json.loads(line)["event"] for line in lines)
