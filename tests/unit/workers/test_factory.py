import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import ConfigurationError, NonRetryableError
from shared.metrics import WorkerMetrics
from shared.models import Task
from shared.provider_accounts import LOCAL, OPENAI
from tests.unit.workers.units import make_task
from tests.worker_configs import make_config
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory
from workers.plugins import AnyProcessor, Source
from workers.processors.text_embedding import EmbeddingInput, TextEmbeddingProcessor
from workers.providers.base import BaseProvider
from workers.providers.calls import ProviderCalls
from workers.providers.openai.http import tls_context
from workers.providers.registry import ProviderClients


class Picky(TextEmbeddingProcessor):
    def can_process(self, task: Task[EmbeddingInput]) -> bool:
        return task.input.text == "liked"


def factory_of(*processors: AnyProcessor) -> ProcessorFactory:
    return ProcessorFactory(
        [(Source(f"test:{number}", "here"), each) for number, each in enumerate(processors)]
    )


def test_a_task_goes_to_the_processor_of_its_type() -> None:
    processor = Picky()
    assert factory_of(processor).processor_for(make_task("liked")) is processor


def test_a_type_without_a_processor_is_a_final_error() -> None:
    with pytest.raises(NonRetryableError, match="text-embedding"):
        factory_of().processor_for(make_task())


def test_a_processor_may_decline_a_task() -> None:
    with pytest.raises(NonRetryableError):
        factory_of(Picky()).processor_for(make_task("disliked"))


def connect(config: WorkerConfig) -> BaseProvider:
    clients = ProviderClients(config.accounts, ProviderCalls(WorkerMetrics(), lambda: 0.0))
    return clients.connect(config.default_provider)


@pytest.mark.parametrize("provider", [OPENAI, LOCAL])
def test_every_provider_can_be_had(provider: str) -> None:
    assert connect(make_config(provider=provider)).kind == provider


@pytest.mark.parametrize(
    ("faulty", "complaint"),
    [
        (make_config(key=None), "OPENAI_API_KEY"),
        (make_config(base_url="http://ex\u2028ample/v1"), "OPENAI_BASE_URL"),
    ],
)
def test_what_cannot_work_is_a_configuration_error(faulty: WorkerConfig, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        connect(faulty)


def test_unreadable_certificates_are_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    tls_context.cache_clear()
    with pytest.raises(ConfigurationError, match="cannot be set up"):
        connect(make_config())
    tls_context.cache_clear()


@pytest.mark.parametrize(("module", "absent"), [("workers.factory", {"openai", "wordllama", "numpy"})])
def test_choosing_no_provider_loads_none(module: str, absent: set[str]) -> None:
    script = f"import sys, {module}; print(sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "[]"
