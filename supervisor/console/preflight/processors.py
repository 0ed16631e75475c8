"""Which task types there are. Each plug-in is loaded in a process of its own: loading it may end that."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.routes import Routes
from shared.settings import Settings
from supervisor.console.preflight.finding import Finding, Mark
from workers.factory import ProcessorFactory, load_processors
from workers.plugins import Broken, Source, find_sources

LOAD_SECONDS = 30.0
TRIALS_AT_ONCE = 4
TRIAL = "import sys; from workers.factory import try_one; try_one(sys.argv[1])"


@dataclass(frozen=True, slots=True)
class ProcessorReport:
    """What was found. `usable` has those that are whole."""

    findings: tuple[Finding, ...]
    usable: ProcessorFactory


def look_at_processors(settings: Settings) -> ProcessorReport:
    """Raises ConfigurationError where a setting of a built-in processor is wrong."""
    with ThreadPoolExecutor(TRIALS_AT_ONCE) as pool:
        deadly = [
            broken for broken in pool.map(_try, find_sources(settings.processors)) if broken is not None
        ]
    usable = load_processors(
        settings.processors, Routes.from_settings(settings).models, {broken.source.path for broken in deadly}
    )
    return ProcessorReport(tuple(_findings(usable, [*deadly, *usable.broken])), usable)


def _findings(usable: ProcessorFactory, broken: list[Broken]) -> Iterator[Finding]:
    yield Finding(Mark.OK, "processors", ", ".join(usable.task_types))
    for each in broken:
        yield Finding(Mark.FAILED, each.source.path, f"({each.source.found}) {each.reason}")


def _try(source: Source) -> Broken | None:
    """Does loading it end or hold up the process?"""
    if source.is_built_in:
        return None
    command = [sys.executable, "-c", TRIAL, source.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        # Our own interpreter, and the path of a class.
        done = subprocess.run(command, env=environment, capture_output=True, timeout=LOAD_SECONDS)  # noqa: S603, PLW1510
    except subprocess.TimeoutExpired:
        return Broken(source, f"is not loaded within {LOAD_SECONDS:g} s")
    if done.returncode:
        return Broken(source, f"ends the process that loads it, with code {done.returncode}")
    return None
