"""The service under a manager that speaks sd_notify."""

import signal
import socket
from pathlib import Path

from tests.acceptance.conftest import StartService
from tests.eventually import eventually


def test_manager_hears_ready_then_pings_then_stopping(start_service: StartService, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)

        def hears(message: str, times: int = 1) -> bool:
            try:
                while True:
                    heard.append(manager.recv(4096).decode())
            except BlockingIOError:
                return heard.count(message) >= times

        service = start_service(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="400000", CONCURRENCY_LIMIT="1")
        eventually(lambda: hears("READY=1"), 20.0)
        eventually(lambda: hears("WATCHDOG=1", 4))
        service.wait_until_ready()
        for pid in service.worker_pids():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
        service.send_signal(signal.SIGTERM)
        eventually(lambda: hears("STOPPING=1"))
        assert service.wait() == 0
    assert heard[0] == "READY=1"
    assert heard.count("STOPPING=1") == 1
