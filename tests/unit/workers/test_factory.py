import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from shared.errors import ConfigurationError, NonRetryableError
from shared.metrics import WorkerMetrics
from shared.models import Output, Task, TaskType
from shared.provider_accounts import LOCAL, OPENAI
from shared.task_inputs import EmbeddingInput
from tests.unit.workers.units import make_task
from tests.worker_configs import make_config
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory, build_factory
from workers.processors.base import BaseProcessor
from workers.processors.text_embedding import TextEmbeddingProcessor
from workers.providers.calls import ProviderCalls
from workers.providers.openai.http import tls_context


class Picky(BaseProcessor):
    task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

    def process(self, task: Task) -> Output:
        raise NotImplementedError

    def can_process(self, task: Task) -> bool:
        return task.payload == EmbeddingInput("liked")


def calls() -> ProviderCalls:
    return ProviderCalls(WorkerMetrics(), lambda: 0.0)


def test_a_task_goes_to_the_processor_of_its_type() -> None:
    processor = Picky()
    assert ProcessorFactory([processor]).processor_for(make_task("liked")) is processor


def test_a_type_without_a_processor_is_a_final_error() -> None:
    with pytest.raises(NonRetryableError, match="text-embedding"):
        ProcessorFactory([]).processor_for(make_task())


def test_a_processor_may_decline_a_task() -> None:
    with pytest.raises(NonRetryableError):
        ProcessorFactory([Picky()]).processor_for(make_task("disliked"))


@pytest.mark.parametrize("provider", [OPENAI, LOCAL])
def test_every_provider_can_embed(provider: str) -> None:
    processor = build_factory(make_config(provider=provider), calls()).processor_for(make_task())
    assert isinstance(processor, TextEmbeddingProcessor)


@pytest.mark.parametrize(
    ("faulty", "complaint"),
    [
        (make_config(key=None), "OPENAI_API_KEY"),
        (make_config(base_url="http://ex\u2028ample/v1"), "OPENAI_BASE_URL"),
    ],
)
def test_what_cannot_work_is_a_configuration_error(faulty: WorkerConfig, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        build_factory(faulty, calls())


def test_unreadable_certificates_are_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    tls_context.cache_clear()
    with pytest.raises(ConfigurationError, match="cannot be set up"):
        build_factory(make_config(), calls())
    tls_context.cache_clear()


@pytest.mark.parametrize(("module", "absent"), [("workers.factory", {"openai", "wordllama"})])
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
