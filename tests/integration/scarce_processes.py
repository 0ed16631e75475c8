"""Loaded into a forkserver: the second and the third fork fail, as at a limit of processes."""

import errno
import itertools
import os

from workers.process import preload

_forks = itertools.count(1)
_fork = preload._fork


def _fork_at_times() -> int:
    if next(_forks) in (2, 3):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


preload._fork = _fork_at_times
