"""What a worker works with, made from what it was told at its start."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.messages import Unit, UnitDone, UnitProgress
from shared.metrics import WorkerMetrics
from shared.models import InputPlace
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory, processors_of
from workers.process.worker import Worker
from workers.providers.calls import ProviderCalls
from workers.providers.registry import ProviderClients


@dataclass(frozen=True, slots=True)
class Equipment:
    """The processors and the clients of providers of one worker process."""

    config: WorkerConfig
    calls: ProviderCalls
    providers: ProviderClients
    factory: ProcessorFactory

    @classmethod
    def from_config(cls, config: WorkerConfig) -> "Equipment":
        """Raises ConfigurationError where a worker would be of no use. Call after `use_metric_files`."""
        calls = ProviderCalls(WorkerMetrics(), time.monotonic)
        providers = ProviderClients(config.accounts, calls)
        if config.must_connect:
            providers.connect(config.default_provider)
        return cls(config, calls, providers, processors_of(config.processors))

    def worker(
        self,
        receive: Callable[[], Unit | None],
        send: Callable[[UnitProgress | UnitDone], None],
        read_input: Callable[[InputPlace], bytes],
    ) -> Worker:
        return Worker(
            receive=receive,
            send=send,
            read_input=read_input,
            factory=self.factory,
            provider_of=lambda name: self.providers.client(name or self.config.default_provider),
            calls=self.calls,
            clock=time.monotonic,
            threads=self.config.threads,
        )

    def close(self) -> None:
        """The worker ends. A plug-in may hang here."""
        self.factory.close()
        self.providers.close()
