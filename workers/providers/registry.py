"""Finds the class of each kind of provider, and makes a worker's clients by the provider's name."""

import contextlib
import importlib
import threading
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from shared.errors import ConfigurationError, RetryableError, RetryReason
from shared.plain_text import one_line, safe_message, type_and_words
from shared.provider_accounts import LOCAL, OPENAI, ProviderAccount
from workers.providers.base import BaseProvider
from workers.providers.calls import ProviderCalls

GROUP = "ai_task_processor.providers"
"""Of entry points. The name of one is the kind that it offers."""
BUILT_IN: Mapping[str, str] = {
    OPENAI: "workers.providers.openai.provider:OpenAIProvider",
    LOCAL: "workers.providers.local:LocalProvider",
}
MAX_REASON_CHARACTERS = 300


class ProviderUnusableError(Exception):
    """A kind of provider cannot be used. The message says why."""


def find_provider(kind: str) -> type[BaseProvider]:
    """The class of a kind. Raises ProviderUnusableError, whatever its import does."""
    path = BUILT_IN.get(kind) or _path_of_plugin(kind)
    module_name, _, class_name = path.partition(":")
    try:
        found: object = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:
        raise ProviderUnusableError(f"{path} cannot be imported: {_words(error)}") from error
    if not isinstance(found, type) or not issubclass(found, BaseProvider):
        raise ProviderUnusableError(f"{path} is no class that extends BaseProvider")
    if found.kind != kind:
        raise ProviderUnusableError(
            f'{path} is installed as "{kind}", and its class says kind = "{found.kind}"'
        )
    return found


def kinds_installed() -> set[str]:
    """The kinds that packages offer."""
    return {entry.name for entry in entry_points(group=GROUP)}


def preload_providers(kinds: Iterable[str]) -> None:
    """Load in the forkserver what the workers would load one by one. Starts no thread.

    What cannot be loaded each worker says itself, when it needs it.
    """
    for kind in kinds:
        with contextlib.suppress(Exception, SystemExit):  # a plug-in may raise anything
            find_provider(kind).preload()


class ProviderClients:
    """A worker's clients, one for each provider, made when it is first needed. Threads may share them."""

    def __init__(self, accounts: Iterable[ProviderAccount], calls: ProviderCalls) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._calls = calls
        self._clients: dict[str, BaseProvider] = {}
        self._making = {name: threading.Lock() for name in self._accounts}
        """One for each provider, so that one that takes long to make holds up no other."""

    def connect(self, name: str) -> BaseProvider:
        """The client of the provider `name`. Raises ConfigurationError where there can be none."""
        if (client := self._clients.get(name)) is not None:
            return client
        if name not in self._accounts:
            raise ConfigurationError(
                f'PROVIDERS: there is no provider "{name}"; add it, or change MODEL_ROUTES'
            )
        with self._making[name]:
            client = self._clients.get(name)
            if client is None:
                client = self._clients[name] = self._make(self._accounts[name])
            return client

    def client(self, name: str) -> BaseProvider:
        """The same. Where there can be none, the provider is on hold until there is: no task is at fault."""
        try:
            return self.connect(name)
        except ConfigurationError as error:
            raise RetryableError(safe_message(str(error)), reason=RetryReason.UNUSABLE) from error

    def close(self) -> None:
        """The worker ends."""
        for client in tuple(self._clients.values()):
            client.close()

    def _make(self, account: ProviderAccount) -> BaseProvider:
        setting = account.setting("kind")
        try:
            return find_provider(account.kind)(account, self._calls)
        except ConfigurationError:
            raise
        except ProviderUnusableError as error:
            raise ConfigurationError(f"{setting}: {error}") from error
        except (Exception, SystemExit) as error:
            raise ConfigurationError(f"{setting}: {account.kind} cannot be made: {_words(error)}") from error


def _path_of_plugin(kind: str) -> str:
    found: list[EntryPoint] = [entry for entry in entry_points(group=GROUP) if entry.name == kind]
    if not found:
        raise ProviderUnusableError(f'there is no kind "{kind}"; install the package that offers it')
    if len(found) > 1:
        paths = " and ".join(sorted(entry.value for entry in found))
        raise ProviderUnusableError(f'{paths} both offer the kind "{kind}"; remove one of them')
    return found[0].value


def _words(error: BaseException) -> str:
    return one_line(type_and_words(error), MAX_REASON_CHARACTERS)
