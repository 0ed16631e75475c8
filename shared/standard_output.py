"""Standard output as the log has it: a reader that stops reading stops nothing else."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

STDOUT = 1
MAX_BYTES_WAITING = 4 * 2**20
WHOLE_WRITE_BYTES = select.PIPE_BUF
"""So much goes into a pipe at once, unmixed with what other processes write. A longer line may be mixed."""
GATHER_SECONDS = 0.01
"""Lines that come so soon after others are written together: a tenth of the work."""
END_SECONDS = 2.0


class StandardOutput:
    """Takes lines at once; a thread writes them, whole, to file descriptor 1.

    Lines that find 4 MB waiting, or that cannot be written, are lost: a stuck reader or a full disk under
    the log must not stop paid work. How many is told to `tell_lost` as soon as lines are written again.
    """

    def __init__(self, tell_lost: Callable[[int], None]) -> None:
        self._tell_lost = tell_lost
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes | str) -> int:
        data = line.encode() if isinstance(line, str) else line
        with self._changed:
            if self._waiting_bytes + len(data) > MAX_BYTES_WAITING:
                self._lost += 1
                return 0
            self._lines.append(data)
            self._waiting_bytes += len(data)
            if self._thread is None:
                self._start()
            elif len(self._lines) == 1:
                self._changed.notify_all()
        return len(data)

    def flush(self) -> None:
        """Nothing to do: a line is on its way once it is taken."""

    def wait_until_written(self, seconds: float = END_SECONDS) -> bool:
        """Wait for the thread to write all that it was given, but no longer than `seconds`. Has it?"""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting_bytes, seconds)

    def _start(self) -> None:
        """With the first line, as most workers never write one."""
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread for it: the next line tries again
            self._thread = None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                lines = self._take()
            written = _write(b"".join(lines))
            with self._changed:
                self._waiting_bytes -= sum(map(len, lines))
                self._lost += 0 if written else len(lines)
                emptied = not self._lines
                lost = self._lost if emptied and written else 0
                self._lost -= lost
                self._changed.notify_all()
            if lost:
                self._tell_lost(lost)
            if emptied:
                time.sleep(GATHER_SECONDS)

    def _take(self) -> list[bytes]:
        """The next lines, as many as can be written at once."""
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= WHOLE_WRITE_BYTES:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return lines


def _write(data: bytes) -> bool:
    """Write all of it, however long that takes. False where it cannot be written."""
    while data:
        try:
            data = data[os.write(STDOUT, data) :]
        except BlockingIOError:  # whoever started the service has made the pipe so
            select.select([], [STDOUT], [], 1.0)
        except OSError:
            return False
    return True
