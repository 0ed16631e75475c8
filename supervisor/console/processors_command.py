"""`run.py processors`: the task types that there are, where each comes from, and what is broken."""

import json
from collections.abc import Callable

from shared.loading import load_group
from shared.settings import TaskTypeSettings
from supervisor.runtime.process import ExitCode
from workers.factory import ProcessorFactory, load_processors


def run_processors(say: Callable[[str], None] = print) -> ExitCode:
    """Say what was found; UNEXPECTED if something is broken. Raises ConfigurationError."""
    settings = load_group(TaskTypeSettings)
    processors = load_processors(settings.processors, {})
    for task_type in processors.task_types:
        for line in _lines(processors, task_type, settings):
            say(line)
    for broken in processors.broken:
        say(f"BROKEN  {broken.source.path} ({broken.source.found}): {broken.reason}")
    return ExitCode.UNEXPECTED if processors.broken else ExitCode.DRAINED


def _lines(processors: ProcessorFactory, task_type: str, settings: TaskTypeSettings) -> list[str]:
    source, limits = processors.source(task_type), processors.limits(task_type)
    processor = processors.find(task_type)
    assert processor is not None  # noqa: S101  it is one of the factory's own
    batch = min(limits.batch or settings.batch_max_tasks, settings.batch_max_tasks)
    seconds = limits.timeout_seconds or settings.task_timeout_seconds
    return [
        f"{task_type}  {source.path} ({source.found})",
        f"  at once: {batch} in a unit, {seconds:g} s a unit",
        f"  input: {json.dumps(processor.schema(), separators=(', ', ': '))}",
    ]
