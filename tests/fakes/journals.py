"""A journal with its bodies beside it, as the program opens it."""

from pathlib import Path

from supervisor.journal.journal import TaskJournal
from supervisor.journal.report_bodies import BODIES_DIRECTORY, BodyFiles
from tests.fakes.bodies import BodiesInMemory

IN_MEMORY = Path(":memory:")


def open_task_journal(path: Path) -> TaskJournal:
    if path == IN_MEMORY:
        return TaskJournal(path, BodiesInMemory())
    directory = path.with_name(BODIES_DIRECTORY)
    if path.parent.is_dir():
        directory.mkdir(exist_ok=True)
    return TaskJournal(path, BodyFiles(directory))
