"""Finds the classes of task types: built in, installed packages, and those that PROCESSORS names."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from shared.plain_text import type_and_words
from shared.settings import EnvironmentSettings
from workers.processors.base import BaseProcessor, Limits

GROUP = "ai_task_processor.processors"
BUILT_IN = (
    "workers.processors.text_embedding:TextEmbeddingProcessor",
    "workers.processors.text_generation:TextGenerationProcessor",
)
_TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_TYPE_CHARACTERS = 64

AnyProcessor = BaseProcessor[Any]


class PluginError(Exception):
    """The class cannot be used. The message says why, and what to mend."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a class is, as `package.module:Class`, and how it was found."""

    path: str
    found: str
    task_type: str = ""
    """As the entry point is named, if that can be one: known even where the class is not."""

    @property
    def is_built_in(self) -> bool:
        return self.path in BUILT_IN


@dataclass(frozen=True, slots=True)
class Broken:
    """A class that cannot be used, and why."""

    source: Source
    reason: str
    task_type: str = ""
    """Where it is known."""


def find_sources(named: str | None) -> Iterator[Source]:
    """Built in first, then by package. `named` is what PROCESSORS holds. What is there twice counts once."""
    seen: set[str] = set()
    for source in _all_sources(named):
        if source.path not in seen:
            seen.add(source.path)
            yield source


def _all_sources(named: str | None) -> Iterator[Source]:
    for path in BUILT_IN:
        yield Source(path, "built in")
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.value, entry.name)):
        task_type = entry.name if is_task_type(entry.name) else ""
        yield Source(entry.value, f"installed with {_package(entry)}", task_type)
    for path in filter(None, (path.strip() for path in (named or "").split(","))):
        yield Source(path, "named in PROCESSORS")


def import_class(path: str) -> type[AnyProcessor]:
    """The processor class at `package.module:Class`. Raises PluginError for whatever its import does."""
    module_name, _, class_name = path.partition(":")
    if not module_name or not class_name:
        raise PluginError("must be written as package.module:Class")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything when it is imported, even end the process
        raise PluginError(f"cannot be imported: {type_and_words(error)}") from error
    if not isinstance(found, type) or not issubclass(found, BaseProcessor):
        raise PluginError("is no subclass of workers.processors.base.BaseProcessor")
    check_class(found)
    return found


def is_task_type(name: str) -> bool:
    """Can a task type be called that?"""
    return len(name) <= MAX_TYPE_CHARACTERS and _TYPE.fullmatch(name) is not None


def check_class(found: type[AnyProcessor]) -> None:
    """Raises PluginError where the class lacks what it must have."""
    task_type = getattr(found, "task_type", None)
    if not isinstance(task_type, str) or not is_task_type(task_type):
        raise PluginError(
            'task_type must be small letters, digits and hyphens, like "text-sentiment",'
            f" and {MAX_TYPE_CHARACTERS} characters at most"
        )
    if not hasattr(found, "input_type"):
        raise PluginError("says no input: write class ...(BaseProcessor[MyInput])")
    if found.process is BaseProcessor.process and found.process_batch is BaseProcessor.process_batch:
        raise PluginError("has neither process nor process_batch")
    kind: object = found.settings_type
    if kind is not None and not (isinstance(kind, type) and issubclass(kind, EnvironmentSettings)):
        raise PluginError("settings_type must be a subclass of EnvironmentSettings")
    if not isinstance(found.limits, Limits):
        raise PluginError("limits must be Limits(...)")


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"
