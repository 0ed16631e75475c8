"""The directory that outlives the process: journal, metric files, and a lock that keeps it to one service."""

import fcntl
import os
import re
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from shared.errors import ConfigurationError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
JOURNAL_FILE = "journal.sqlite3"
WORKER_ID_FILE = "worker-id"
BODIES_DIRECTORY = "bodies"
ROOT = 0
_WORKER_ID = re.compile(rb"[\x21-\x7e]{1,100}")


class StateDirectory:
    """Made if need be, private to its owner, and locked until `close` or the process's end."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError where it cannot be written, is not safe, or another service has it."""
        self.path = path.absolute()
        self.journal = self.path / JOURNAL_FILE
        self.bodies = self.path / BODIES_DIRECTORY
        self.metrics = self.path / "metrics"
        try:
            self._make()
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        except OSError as error:
            raise ConfigurationError(
                f"STATE_DIR: cannot write to {self.path}: {_why(error)};"
                " give the service a directory of its own"
            ) from error
        try:
            self._keep_to_one_service()
            _try_to_sync(self.path)
            self.worker_id = _worker_id(self.path / WORKER_ID_FILE)
        except ConfigurationError:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._lock)

    def _make(self) -> None:
        self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._refuse_what_others_may_change()
        if self.path.stat().st_uid == os.geteuid():
            self.path.chmod(DIRECTORY_MODE)
        self.bodies.mkdir(mode=DIRECTORY_MODE, exist_ok=True)

    def _refuse_what_others_may_change(self) -> None:
        """Whoever can change what is here decides what is reported, and which files the service writes to.

        Root may, and a group that it gave the directory to, as Kubernetes does with `fsGroup`. A directory
        for all users is taken where others can remove nothing from it, as in /tmp, or where it was mounted
        for this service alone, as an `emptyDir` is.
        """
        user = os.geteuid()
        found = self.path.stat()
        is_for_all = bool(found.st_mode & stat.S_IWOTH)
        if found.st_uid not in (user, ROOT):
            raise _unsafe(self.path, f"belongs to user {found.st_uid}")
        is_safe = found.st_uid == user or bool(found.st_mode & stat.S_ISVTX) or self.path.is_mount()
        if is_for_all and not is_safe:
            raise _unsafe(self.path, "can be written by every user")
        for path in (path for directory in self._directories() for path in directory.iterdir()):
            if path.is_symlink():
                raise _unsafe(path, "is a link")
            if is_for_all and path.stat().st_uid not in (user, ROOT):
                raise _unsafe(path, f"belongs to user {path.stat().st_uid}")

    def _directories(self) -> Iterator[Path]:
        """The directory and those in it; a disk's `lost+found` is root's alone."""
        yield self.path
        yield from (path for path in self.path.iterdir() if path.is_dir() and os.access(path, os.R_OK))

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


def _worker_id(path: Path) -> str:
    """What tells this service from its replicas at the task API: made once, and kept."""
    try:
        found = path.read_bytes().strip() if path.is_file() else b""
        if _WORKER_ID.fullmatch(found):
            return found.decode()
        made = uuid.uuid4().hex
        _write(path, made.encode())
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"STATE_DIR: {path} cannot be used: {error}; remove it, and the service makes another"
        ) from error
    return made


def sync_directory(directory: Path) -> None:
    """Make the names of new files in it last, as syncing a file does not. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_to_sync(directory: Path) -> None:
    """A result that was paid for must be on the disk before it is reported."""
    trial = directory / "trial"
    try:
        _write(trial, b"written")
        trial.unlink()
        sync_directory(directory)
    except OSError as error:
        raise ConfigurationError(
            f"STATE_DIR: what is written to {directory} cannot be brought to its disk: {error.strerror};"
            " use a local disk with room"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """The file holds this alone, and it is on the disk. Raises OSError."""
    # A pipe there must not block.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.write(descriptor, content)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _unsafe(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"STATE_DIR: {path} {why}, and the service runs as user {os.geteuid()}: others could change what it"
        " reports; give it a directory of its own (chown, chmod 700), without links in it"
    )


def _why(error: OSError) -> str:
    """What is wrong, with the path where that is another one."""
    if isinstance(error, FileExistsError):
        where = Path(str(error.filename))
        return f"{where} is a link to nowhere" if where.is_symlink() else f"{where} is no directory"
    if isinstance(error, PermissionError):
        return f"{error.strerror} for user {os.geteuid()}"
    return str(error.strerror)
