"""The directory that outlives the process: journal, metric files, and a lock that keeps it to one service."""

import fcntl
import os
from pathlib import Path

from shared.errors import ConfigurationError
from supervisor.journal.report_bodies import BODIES_DIRECTORY

DIRECTORY_MODE = 0o700
JOURNAL_FILE = "journal.sqlite3"


class StateDirectory:
    """Made if need be, private to its owner, and locked until `close` or the process's end."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError where it cannot be written or another service has it."""
        self.path = path.absolute()
        self.journal = self.path / JOURNAL_FILE
        self.bodies = self.path / BODIES_DIRECTORY
        self.metrics = self.path / "metrics"
        lock_file = self.path / "lock"
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            if self.path.stat().st_uid == os.geteuid():
                self.path.chmod(DIRECTORY_MODE)
            self.bodies.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            self._lock = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"STATE_DIR: cannot write to {self.path}: {error.strerror};"
                " give the service a directory of its own"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigurationError(
                f"STATE_DIR: another service is running on {self.path};"
                " stop it, or give this one a directory of its own"
            ) from error

    def close(self) -> None:
        os.close(self._lock)
