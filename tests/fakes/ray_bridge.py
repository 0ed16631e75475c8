"""A bridge without a process and without Ray: the test says what it reports, and when it ends."""

import multiprocessing
import os
import socket
from multiprocessing.connection import Connection

from supervisor.pool.ray.messages import Order, Report, receive_order, send

PATIENCE_SECONDS = 10.0


class FakeBridge:
    """Stands for the process, and holds the bridge's end of the pipe."""

    def __init__(self, first_number: int = 1) -> None:
        self.first_number = first_number
        self.pool_end, self._pipe = multiprocessing.Pipe()
        self.sentinel, self._running = os.pipe()
        self.exitcode: int | None = None
        self.killed = False
        self.collected = False

    def kill(self) -> None:
        self.killed = True
        self.end(-9)

    def join(self) -> None:
        assert self.exitcode is not None, "the pool waits for a bridge that runs"
        self.collected = True

    def end(self, exit_code: int = 1) -> None:
        """As if the process had ended."""
        if self.exitcode is None:
            self.exitcode = exit_code
            self._pipe.close()
            os.close(self._running)

    def tell(self, *reports: Report) -> None:
        for report in reports:
            send(self._pipe, report)

    def tell_half(self, report: Report) -> None:
        """As a process that is stopped in the middle of a message."""
        ours, theirs = multiprocessing.Pipe()
        with ours, theirs:
            send(ours, report)
            message = os.read(theirs.fileno(), 2**16)
        os.write(self._pipe.fileno(), message[: len(message) // 2])

    def hear(self) -> Order:
        """The next order."""
        assert self._pipe.poll(PATIENCE_SECONDS), "no order came"
        return receive_order(self._pipe)

    def hears_nothing(self) -> bool:
        return not self._pipe.poll(0)

    def stop_hearing(self) -> None:
        """From now on what is sent to it is refused."""
        with socket.socket(fileno=os.dup(self._pipe.fileno())) as end:
            end.shutdown(socket.SHUT_RD)

    def forget(self) -> None:
        """Close what the test leaves open."""
        self.end()
        os.close(self.sentinel)


class Bridges:
    """Launches one after another, for a RayPool."""

    def __init__(self) -> None:
        self.all: list[FakeBridge] = []

    def launch(self, first_number: int) -> tuple[FakeBridge, Connection]:
        bridge = FakeBridge(first_number)
        self.all.append(bridge)
        return bridge, bridge.pool_end
