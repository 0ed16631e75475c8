"""The directory that outlives the process: journal, metric files, and a lock that keeps it to one service."""

import fcntl
import os
from pathlib import Path

from shared.errors import ConfigurationError
from supervisor.journal.report_bodies import BODIES_DIRECTORY

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
JOURNAL_FILE = "journal.sqlite3"


class StateDirectory:
    """Made if need be, private to its owner, and locked until `close` or the process's end."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError where it cannot be written or another service has it."""
        self.path = path.absolute()
        self.journal = self.path / JOURNAL_FILE
        self.bodies = self.path / BODIES_DIRECTORY
        self.metrics = self.path / "metrics"
        try:
            self._make()
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
        except OSError as error:
            raise ConfigurationError(
                f"STATE_DIR: cannot write to {self.path}: {_why(error)};"
                " give the service a directory of its own"
            ) from error
        try:
            self._keep_to_one_service()
            _try_to_sync(self.path)
        except ConfigurationError:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._lock)

    def _make(self) -> None:
        self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if self.path.stat().st_uid == os.geteuid():
            self.path.chmod(DIRECTORY_MODE)
        self.bodies.mkdir(mode=DIRECTORY_MODE, exist_ok=True)

    def _keep_to_one_service(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"STATE_DIR: another service is running on {self.path};"
                " stop it, or give this one a directory of its own"
            ) from error
        except OSError as error:
            raise ConfigurationError(
                f"STATE_DIR: files in {self.path} cannot be locked: {error.strerror}; use a local disk"
            ) from error


def _try_to_sync(directory: Path) -> None:
    """What was paid for must be on the disk before it is reported, whatever happens to the machine."""
    trial = directory / "trial"
    try:
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT, FILE_MODE)
        try:
            os.write(descriptor, b"written")
            os.fdatasync(descriptor)
            trial.unlink()
        finally:
            os.close(descriptor)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(
            f"STATE_DIR: what is written to {directory} cannot be brought to its disk: {error.strerror};"
            " use a local disk with room"
        ) from error


def _why(error: OSError) -> str:
    """What is wrong, with the path where that is another one."""
    if isinstance(error, FileExistsError):
        where = Path(str(error.filename))
        return f"{where} is a link to nowhere" if where.is_symlink() else f"{where} is no directory"
    if isinstance(error, PermissionError):
        return f"{error.strerror} for user {os.geteuid()}"
    return str(error.strerror)
