"""Secrets appear nowhere, however much the peers echo them."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tests.acceptance.conftest import StartService
from tests.acceptance.scripted_api import ScriptedApi, flat_task, page_of
from tests.acceptance.service import API_TOKEN, OPENAI_KEY, ServiceProcess
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.provider_faults import html_page, refused, server_error, unauthorized
from tests.stubs.scripted_http import Answer, ScriptedServer

ECHOED_TOKEN = f"bad header 'Bearer {API_TOKEN}'".encode()
ECHOED_KEY = f"no such key: {OPENAI_KEY}"
WAKE_TOKEN = "acceptance-wake-token-e08b"
TEXT = "a private text 5d2e"


def test_no_secret_and_no_text_is_in_anything_the_service_emits(launch: StartService, tmp_path: Path) -> None:
    tasks = page_of(flat_task(str(place), f"{TEXT} {place}") for place in range(8))
    api = ScriptedApi(Answer(401, ECHOED_TOKEN), Answer(500, ECHOED_TOKEN), Answer(404, ECHOED_TOKEN), tasks)
    api.receipts.extend(Answer(status, ECHOED_TOKEN) for status in (403, 500, 409, 422))
    redirect = Answer(302, b"", {"Location": f"http://127.0.0.1/?token={API_TOKEN}"})
    api.receipts.append(redirect)
    faults = refused(400, ECHOED_KEY), html_page(500), server_error(), refused(400, ECHOED_KEY)
    with ScriptedServer(api) as server, StubProvider(dimensions=16) as provider:
        provider.script(*faults)
        service = launch(
            API_BASE_URL=server.url,
            API_TOKEN=API_TOKEN,
            OPENAI_BASE_URL=provider.base_url,
            OPENAI_API_KEY=OPENAI_KEY,
            WAKE_TOKEN=WAKE_TOKEN,
            CONCURRENCY_LIMIT="1",
            LOG_LEVEL="DEBUG",
            OPENAI_LOG="debug",
            RETRY_BACKOFF_FACTOR="1",
            CIRCUIT_BREAKER_THRESHOLD="50",
            POLLING_INTERVAL_SECONDS="0.1",
        )
        eventually(lambda: len(api.reports) == 8, 20.0, "every task is reported")
        provider.script(unauthorized(ECHOED_KEY))
        api.pages.append(page_of([flat_task("last", f"{TEXT} last")]))
        eventually(lambda: "provider_hold" in service.not_ready(), what="the provider refuses the key")
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        service.wait_for_log("worker_started", count=2)
        service.send_signal(signal.SIGQUIT)
        eventually(lambda: "Current thread" in service.errors.read_text())
        shown = dict(emitted(service))
        service.stop()
    assert any("worker-" in name for name in shown)
    shown |= {path.name: path.read_bytes() for path in (service.log, service.errors)}
    shown |= {path.name: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    shown |= {task_id: repr(reports).encode() for task_id, reports in api.reports.items()}
    for name, content in shown.items():
        for secret in (API_TOKEN, OPENAI_KEY, WAKE_TOKEN):
            assert secret.encode() not in content, f"{secret} is in {name}"
        assert TEXT.encode() not in content or name.startswith("journal"), f"a text is in {name}"


def emitted(service: ServiceProcess) -> Iterator[tuple[str, bytes]]:
    """What the running service shows to whoever asks: its pages and its processes' titles."""
    for path in ("/", "/status", "/metrics", "/ready", "/health", "/nothing"):
        yield path, service.get(path).body
    for process in [psutil.Process(service.pid), *service.descendants()]:
        with suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            yield f"title {title[:40]} of {process.pid}", title.encode()
