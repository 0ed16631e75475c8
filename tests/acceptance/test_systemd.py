"""The service under a manager that speaks sd_notify."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.conftest import StartService
from tests.eventually import eventually


@contextlib.contextmanager
def manager(address: Path) -> Iterator[list[str]]:
    """Listens at `address` as systemd does; the list grows with what is heard."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))

        def listen() -> None:
            while message := listener.recv(4096):
                heard.append(message.decode())

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.sendto(b"", str(address))
            thread.join()


def test_manager_hears_ready_then_pings_then_stopping(start_service: StartService, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with manager(address) as heard:
        service = start_service(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="400000", CONCURRENCY_LIMIT="1")
        eventually(lambda: heard.count("WATCHDOG=1") >= 4, what="four pings")
        service.wait_until_ready()
        for pid in service.worker_pids():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
        service.send_signal(signal.SIGTERM)
        eventually(lambda: "STOPPING=1" in heard, what="the manager is told of the stop")
        assert service.wait() == 0
    assert heard[0] == "READY=1"
    assert set(heard[1:]) == {"WATCHDOG=1", "STOPPING=1"}
    assert heard.count("STOPPING=1") == 1
