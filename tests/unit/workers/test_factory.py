import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import pytest
from pydantic import BaseModel, model_validator

from shared.errors import Blame, ConfigurationError, NonRetryableError
from shared.metrics import WorkerMetrics
from shared.models import BatchKey, Task
from shared.provider_accounts import LOCAL, OPENAI
from shared.settings import EnvironmentSettings
from tests.unit.workers.units import make_task
from tests.worker_configs import make_config
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory, ProcessorSpec, load_processors, processors_of
from workers.plugins import BUILT_IN, AnyProcessor, Source
from workers.processors.base import BaseProcessor, Context, Outcome
from workers.processors.text_embedding import EmbeddingInput, EmbeddingSettings, TextEmbeddingProcessor
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


class Plugin(BaseProcessor[str]):
    """What a package might hold; tests change single attributes of it."""

    task_type: ClassVar[str] = "plug-in"

    def process(self, task: Task[str], context: Context) -> Outcome:
        return task.input


class UnreadableSettings(EnvironmentSettings):
    @model_validator(mode="after")
    def fail(self) -> Self:
        raise RuntimeError("no luck")


def reason_for(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> str:
    """Why the plug-in cannot be used; the built-in types can."""
    for name, value in attributes.items():
        monkeypatch.setattr(Plugin, name, value)
    processors = load_processors(f"{__name__}:Plugin", {})
    assert "text-embedding" in processors.task_types
    (broken,) = processors.broken
    return broken.reason


@pytest.mark.parametrize("kind", [int, BaseModel, "Settings", UnreadableSettings])
def test_settings_that_cannot_be_read_break_their_type_alone(
    monkeypatch: pytest.MonkeyPatch, kind: object
) -> None:
    assert "settings" in reason_for(monkeypatch, settings_type=kind)


def test_instance_that_cannot_be_made_breaks_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class SpeechlessError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail(*_: object) -> None:
        raise SpeechlessError

    assert "SpeechlessError" in reason_for(monkeypatch, __init__=fail)


@pytest.mark.parametrize("error", [ValueError(), SystemExit()])
def test_canary_that_cannot_be_made_is_none(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Plugin, "canary", fail)
    assert not factory_of(Plugin(None)).has_canary(BatchKey("plug-in", "m"))


def test_a_task_goes_to_the_processor_of_its_type() -> None:
    processor = Picky()
    assert factory_of(processor).processor_for(make_task("liked")) is processor


def test_a_type_without_a_processor_is_a_final_error() -> None:
    with pytest.raises(NonRetryableError, match="text-embedding") as raised:
        factory_of().processor_for(make_task())
    assert raised.value.blame is Blame.PROCESSOR


def test_a_processor_may_decline_a_task() -> None:
    with pytest.raises(NonRetryableError) as raised:
        factory_of(Picky()).processor_for(make_task("disliked"))
    assert raised.value.blame is Blame.PROCESSOR, "no provider has refused it, and none is put on hold"


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


class FindsNoWords(Plugin):
    """Makes a canary of a word that it knows, and of no other."""

    def canary(self, word: str, model: str) -> str | None:
        return word if word.isalpha() else None


def test_canary_that_is_made_of_some_words_alone_is_none() -> None:
    assert not factory_of(FindsNoWords(None)).has_canary(BatchKey("plug-in", "m"))


def test_settings_that_no_worker_can_read_break_their_type_alone() -> None:
    path = f"{__name__}:Plugin"
    own = factory_of(TextEmbeddingProcessor(EmbeddingSettings.model_construct(None))).specs()
    others = [replace(own[0], source=Source(BUILT_IN[0], "built in"))]
    spec = ProcessorSpec(Source(path, "here"), "plug-in", b"cno_such_module\nThing\n.", "")
    factory = processors_of([spec, *others])
    assert factory.task_types == ("text-embedding",)
    assert [(each.task_type, "no_such_module" in each.reason) for each in factory.broken] == [
        ("plug-in", True)
    ]


def test_class_that_is_named_twice_is_there_once() -> None:
    processors = load_processors(f"{__name__}:Plugin, {BUILT_IN[0]}, {__name__}:Plugin", {})
    assert "plug-in" in processors.task_types
    assert not processors.broken


class Slow(Plugin):
    """Starts once it may."""

    task_type: ClassVar[str] = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        self.begun.set()
        assert self.may_end.wait(10.0)


def test_start_that_takes_long_holds_up_no_other_type() -> None:
    slow, quick = Slow(), Plugin(None)
    factory = factory_of(slow, quick)
    starting = threading.Thread(target=factory.processor_for, args=(slow.make_task("a", "t-1"),), daemon=True)
    starting.start()
    assert slow.begun.wait(10.0)
    other = threading.Thread(target=factory.processor_for, args=(quick.make_task("a", "t-2"),), daemon=True)
    other.start()
    other.join(5.0)
    held_up = other.is_alive()
    slow.may_end.set()
    starting.join(10.0)
    assert not held_up


def test_threads_that_need_a_type_at_once_start_it_once() -> None:
    slow = Slow()
    factory = factory_of(slow)
    task = slow.make_task("a", "t-1")
    threads = [threading.Thread(target=factory.processor_for, args=(task,), daemon=True) for _ in range(5)]
    for thread in threads:
        thread.start()
    slow.may_end.set()
    for thread in threads:
        thread.join(10.0)
    assert slow.starts == 1
