"""Which processor runs which task."""

from collections.abc import Iterable

from shared.errors import ConfigurationError, NonRetryableError
from shared.models import Task
from shared.provider_accounts import LOCAL, OPENAI
from shared.settings import LongText
from workers.config import WorkerConfig
from workers.processors.base import BaseProcessor
from workers.processors.text_embedding import PiecewiseEmbeddings, TextEmbeddingProcessor
from workers.providers.base import EmbeddingProvider
from workers.providers.calls import ProviderCalls


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


def build_factory(config: WorkerConfig, calls: ProviderCalls) -> ProcessorFactory:
    """The processors of this service; a new one is added here.

    Raises ConfigurationError where the provider cannot be used as configured.
    """
    provider = _embedding_provider(config, calls)
    if config.provider == OPENAI and config.long_text is LongText.MEAN:
        provider = PiecewiseEmbeddings(provider)
    return ProcessorFactory([TextEmbeddingProcessor(provider)])


def preload_provider(provider: str) -> None:
    """Load in the forkserver what the workers of `provider` would load one by one. Starts no thread."""
    if provider == LOCAL:
        from workers.providers.local import preload  # noqa: PLC0415  heavy, and may be absent
    else:
        from workers.providers.openai.client import preload  # noqa: PLC0415  heavy
    preload()


def _embedding_provider(config: WorkerConfig, calls: ProviderCalls) -> EmbeddingProvider:
    if config.provider == LOCAL:
        from workers.providers.local import LocalEmbeddings  # noqa: PLC0415  heavy, and may be absent

        return LocalEmbeddings()
    from workers.providers.openai.client import OpenAIClient  # noqa: PLC0415  heavy

    if config.openai_api_key is None:
        raise ConfigurationError("OPENAI_API_KEY: is required for EMBEDDING_PROVIDER=openai")
    key = config.openai_api_key.get_secret_value()
    return OpenAIClient.connect(key, config.openai_base_url, config.openai_timeout_seconds, calls)
