"""What is kept for each provider, by its name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.models import BatchKey
from shared.routes import Routes
from supervisor.providers.evidence import Canaries, Evidence
from supervisor.providers.gate import ProviderGate
from supervisor.providers.model_limits import ModelLimits
from supervisor.providers.rate_limiter import RateLimiter

MAX_KEYS_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class ProviderState:
    """May work go to this provider, how much, and what is known of it. Nothing is shared with another."""

    name: str
    gate: ProviderGate
    limiter: RateLimiter
    limits: ModelLimits
    evidence: Evidence
    canaries: Canaries

    def is_closed_for(self, model: str) -> bool:
        """May no unit for the model go to it now? That is so as well while the model alone is on hold."""
        return self.gate.blocked() is not None or self.gate.model_retry_at(model) is not None


class Providers:
    """Owned by the loop. Iterates over the providers that are configured, then those that were asked for.

    A provider that is not configured is made by `make` when its name is first asked for.
    """

    def __init__(
        self, routes: Routes, configured: tuple[str, ...], make: Callable[[str], ProviderState]
    ) -> None:
        self._routes = routes
        self._make = make
        self._by_name = {name: make(name) for name in configured}
        self._serving: dict[BatchKey, tuple[ProviderState, ...]] = {}

    def __iter__(self) -> Iterator[ProviderState]:
        return iter(tuple(self._by_name.values()))

    def __getitem__(self, name: str) -> ProviderState:
        provider = self._by_name.get(name)
        if provider is None:
            provider = self._by_name[name] = self._make(name)
        return provider

    @property
    def default(self) -> ProviderState:
        """The one that is shown where nothing says which."""
        return next(iter(self._by_name.values()))

    def serving(self, key: BatchKey) -> tuple[ProviderState, ...]:
        """The provider for work of this key, and those that stand in for it while it is closed."""
        serving = self._serving.get(key)
        if serving is None:
            if len(self._serving) >= MAX_KEYS_REMEMBERED:
                self._serving.clear()
            serving = self._serving[key] = tuple(self[name] for name in self._routes.serving(key))
        return serving

    def open_for(self, key: BatchKey) -> ProviderState | None:
        """The one that a unit of this key may go to now; None while all that serve it are closed."""
        return next((each for each in self.serving(key) if not each.is_closed_for(key.model)), None)

    def is_closed_among_others(self, key: BatchKey) -> bool:
        """May no more than a probe of the key go out now, while there are other providers?"""
        if len(self._by_name) == 1:
            return False
        return all(not each.gate.is_up or each.is_closed_for(key.model) for each in self.serving(key))
