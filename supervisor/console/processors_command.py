"""`run.py processors`: the task types and providers that there are, where each is, and what is broken."""

import json
from collections.abc import Callable, Iterable, Iterator

from shared.loading import load_group
from shared.provider_accounts import ProviderAccount
from shared.settings import FurtherProviders, TaskTypeSettings
from supervisor.runtime.process import ExitCode
from workers.factory import ProcessorFactory, load_processors
from workers.providers.registry import ProviderUnusableError, find_provider, kinds_installed


def run_processors(say: Callable[[str], None] = print) -> ExitCode:
    """Say what was found; UNEXPECTED if something is broken. Raises ConfigurationError."""
    settings = load_group(TaskTypeSettings)
    processors = load_processors(settings.processors, {})
    for task_type in processors.task_types:
        for line in _lines(processors, task_type, settings):
            say(line)
    providers = load_group(FurtherProviders).providers
    for name, fields in providers.items():
        say(_provider_line(ProviderAccount(name, **dict(fields))))
    broken_kinds = dict(_broken_kinds(fields.kind for fields in providers.values()))
    for broken in processors.broken:
        say(f"BROKEN  {broken.source.path} ({broken.source.found}): {broken.reason}")
    for kind, reason in broken_kinds.items():
        say(f"BROKEN  providers of kind {kind}: {reason}")
    return ExitCode.UNEXPECTED if processors.broken or broken_kinds else ExitCode.DRAINED


def _provider_line(account: ProviderAccount) -> str:
    where = f" at {account.address}" if account.address else ""
    return f"provider {account.name}  kind {account.kind}{where}"


def _broken_kinds(used: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The kinds that packages offer, or a provider is said to be of, and cannot be used."""
    for kind in sorted({*used, *kinds_installed()}):
        try:
            find_provider(kind)
        except ProviderUnusableError as error:
            yield kind, str(error)


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
