"""A journal with its bodies beside it, as the program opens it."""

import time
from collections.abc import Callable
from pathlib import Path

from supervisor.journal.journal import TaskJournal
from supervisor.journal.report_bodies import BodyFiles
from supervisor.journal.state_directory import BODIES_DIRECTORY
from tests.fakes.bodies import BodiesInMemory
from tests.fakes.disk import IN_MEMORY, Disk


def open_task_journal(
    path: Path, disk: Disk | None = None, wall: Callable[[], float] = time.time
) -> TaskJournal:
    """The test gives a disk that it wants to fill. What stays open is closed at the end of the test."""

    def connect(path: Path) -> Disk:
        return disk or Disk(path)

    if path == IN_MEMORY:
        return TaskJournal(path, BodiesInMemory(), wall, connect)
    directory = path.with_name(BODIES_DIRECTORY)
    if path.parent.is_dir():
        directory.mkdir(exist_ok=True)
    return TaskJournal(path, BodyFiles(directory), wall, connect)
