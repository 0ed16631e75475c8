"""How the process ends."""

from enum import IntEnum


class ExitCode(IntEnum):
    DRAINED = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    LEFT_OVER = 3
    WORKERS_KEEP_DYING = 4
