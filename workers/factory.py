"""Which processor runs which task."""

import time
from collections.abc import Iterable

from shared.errors import ConfigurationError, NonRetryableError
from shared.models import Provider, Task, TaskType
from shared.settings import LongText
from workers.process.config import WorkerConfig
from workers.processors.base import BaseProcessor
from workers.processors.text_embedding import TextEmbeddingProcessor
from workers.providers.base import EmbeddingProvider
from workers.providers.openai.provider_calls import ProviderCalls
from workers.providers.piecewise import PiecewiseEmbeddings


class ProcessorFactory:
    """Holds one processor for each task type it was given."""

    def __init__(self, processors: Iterable[BaseProcessor]) -> None:
        self._processors: dict[TaskType, BaseProcessor] = {
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
    if config.provider is Provider.OPENAI and config.long_text is LongText.MEAN:
        provider = PiecewiseEmbeddings(provider)
    return ProcessorFactory([TextEmbeddingProcessor(provider)])


def _embedding_provider(config: WorkerConfig, calls: ProviderCalls) -> EmbeddingProvider:
    if config.provider is Provider.LOCAL:
        from workers.providers.local import LocalEmbeddings  # noqa: PLC0415  heavy, and may be absent

        return LocalEmbeddings()
    return _openai(config, calls)


def _openai(config: WorkerConfig, calls: ProviderCalls) -> EmbeddingProvider:
    import httpx2  # noqa: PLC0415  heavy, and of no use to the local provider

    from workers.providers.openai.client import DEFAULT_BASE_URL, OpenAIClient  # noqa: PLC0415
    from workers.providers.openai.guarded_http import ProviderHttp  # noqa: PLC0415

    if config.openai_api_key is None:
        raise ConfigurationError("OPENAI_API_KEY: is required for EMBEDDING_PROVIDER=openai")
    try:
        http = ProviderHttp(config.openai_timeout_seconds, time.monotonic)
        return OpenAIClient(
            key=config.openai_api_key.get_secret_value(),
            base_url=config.openai_base_url,
            timeout_seconds=config.openai_timeout_seconds,
            http=http,
            calls=calls,
            wall_clock=time.time,
            proxy=http.proxy_of(config.openai_base_url or DEFAULT_BASE_URL),
        )
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"OPENAI_BASE_URL or a proxy variable is no address: {error}") from error
    except (OSError, ValueError, ImportError) as error:
        raise ConfigurationError(f"the connection to the provider cannot be set up: {error}") from error
