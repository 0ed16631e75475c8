"""Which processor runs which task."""

from collections.abc import Iterable, Sequence

from shared.errors import NonRetryableError
from shared.models import Task
from shared.settings import LongText
from workers.config import WorkerConfig
from workers.processors.base import BaseProcessor
from workers.processors.text_embedding import PiecewiseEmbeddings, TextEmbeddingProcessor
from workers.providers.base import EmbeddingProvider, Embeddings
from workers.providers.calls import ProviderCalls
from workers.providers.registry import ProviderClients


class ProcessorFactory:
    """Holds one processor for each task type it was given."""

    def __init__(self, processors: Iterable[BaseProcessor]) -> None:
        self._processors: dict[str, BaseProcessor] = {
            processor.task_type: processor for processor in processors
        }

    def processor_for(self, task: Task) -> BaseProcessor:
        """Raises NonRetryableError when there is none."""
        processor = self._processors.get(task.task_type)
        if processor is None or not processor.can_process(task):
            raise NonRetryableError(f'no processor for tasks of type "{task.task_type}"')
        return processor


class ProviderOfUnit:
    """An EmbeddingProvider: the one that the unit at hand goes to."""

    def __init__(self, clients: ProviderClients, calls: ProviderCalls, default: str) -> None:
        self._clients = clients
        self._calls = calls
        self._default = default

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        return self._clients.client(self._calls.provider or self._default).embed(texts, model, dimensions)


def build_factory(config: WorkerConfig, calls: ProviderCalls) -> ProcessorFactory:
    """The processors of this service; a new one is added here.

    Raises ConfigurationError where the only provider there is cannot be used as configured. One of several
    is on hold instead.
    """
    clients = ProviderClients(config.accounts, calls)
    if config.must_connect:
        clients.connect(config.default_provider)
    provider: EmbeddingProvider = ProviderOfUnit(clients, calls, config.default_provider)
    if config.long_text is LongText.MEAN:
        provider = PiecewiseEmbeddings(provider)
    return ProcessorFactory([TextEmbeddingProcessor(provider)])
