"""For authors of processors: runs one on an input, and checks what the service relies on.

kit = ProcessorKit(SentimentProcessor, provider=StubProvider(chat=["positive"]))
assert kit.run({"text": "Lovely."}) == {"label": "positive"}
"""

import itertools
import json
import pickle
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from shared.errors import NonRetryableError, RetryableError, TaskError
from shared.loading import load_group
from shared.messages import Failure
from shared.models import JsonValue, Output, Task, Usage
from shared.provider_accounts import OPENAI, ProviderAccount
from workers.plugins import check_class
from workers.processors.base import BaseProcessor, Context, ProcessorLog, as_output
from workers.providers.base import BaseProvider, Embeddings
from workers.providers.chat import ChatAnswer, ChatRequest

TRIES = 500
MAX_PARSE_SECONDS = 1.0
TIMEOUT_SECONDS = 180.0
_ODD_NUMBERS: tuple[JsonValue, ...] = (True, 0, -1, 2**70, 1.5, 1e308)
_ODD_TEXTS: tuple[JsonValue, ...] = ("", " ", "a", "é" * 1000, "\ud800", "x" * 10**6)
_ODD: tuple[JsonValue, ...] = (None, *_ODD_NUMBERS, *_ODD_TEXTS, [], {}, [[]], {"": None})


class StubProvider(BaseProvider):
    """Answers chat calls with `chat` in turn, the last one for ever; an exception in it is raised.

    Embeds a text as its length. `requests` are the chat calls that were made, `texts` what was embedded.
    """

    def __init__(self, chat: Iterable[str | ChatAnswer | Exception] = ()) -> None:
        self.settings = ProviderAccount(OPENAI, OPENAI, None, None)
        self.requests: list[ChatRequest] = []
        self.texts: list[str] = []
        self._chat = list(chat)

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        import numpy as np  # noqa: PLC0415  for embeddings alone

        from workers.providers.vectors import Vectors  # noqa: PLC0415

        self.texts.extend(texts)
        rows = [np.full(dimensions or 2, len(text), dtype=np.float32) for text in texts]
        checked = Vectors.check(rows, texts=len(texts), dimensions=dimensions)
        return Embeddings(checked, model, Usage(len(texts), len(texts)))

    def chat(self, request: ChatRequest) -> ChatAnswer:
        if not self._chat:
            raise AssertionError("a chat call was made, and the stub has no answer: StubProvider(chat=[...])")
        self.requests.append(request)
        answer = self._chat[min(len(self.requests), len(self._chat)) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return ChatAnswer(answer, request.model, "stop", usage=Usage(10, 20))
        return answer


class ProcessorKit:
    """One processor as a worker has it: made with its settings, and started.

    `settings` are those of its `settings_type`; without them they are read from the environment.
    """

    def __init__(
        self,
        kind: type[BaseProcessor[Any]],
        *,
        provider: StubProvider | None = None,
        settings: object = None,
        default_model: str = "",
    ) -> None:
        check_class(kind)
        if settings is None and kind.settings_type is not None:
            settings = load_group(kind.settings_type)
        self.provider = provider or StubProvider()
        self.processor = kind(settings, default_model)
        self.processor.start()

    def run(self, given: Any) -> Any:
        """The result of one task, as JSON. Raises what the task would fail with."""
        output = self._outcomes([given])[0]
        if isinstance(output, Failure):
            raise self._error(output)
        return orjson.loads(output.value)

    def refusal(self, given: Any) -> str:
        """Why the input is refused, in the words that the API gets. AssertionError where it is not."""
        try:
            self.processor.parse(given)
        except NonRetryableError as error:
            return str(error)
        raise AssertionError("the input was taken")

    def check(self, *inputs: Any) -> None:
        """All that the service relies on, with these inputs. AssertionError says what is not kept."""
        for given in inputs:
            parsed = self.processor.parse(given)
            key = self.processor.key(parsed)
            assert key == self.processor.key(parsed), "the batch key of one input changes"
            assert self.processor.size_bytes(parsed) >= 0, "size_bytes is negative"
            task = self._task(given, 0)
            crossed = pickle.loads(pickle.dumps(task))  # noqa: S301  our own
            assert crossed == task, "the input does not survive a pipe (pickle)"
            stored = json.loads(orjson.dumps(self.processor.dump(parsed)))
            assert self.processor.parse(stored) == parsed, "the input does not survive the journal (JSON)"
        by_key: dict[object, list[JsonValue]] = {}
        for given in inputs:
            by_key.setdefault(self.processor.key(self.processor.parse(given)), []).append(given)
        for same in by_key.values():
            for batch in [same] if self.processor.takes_batches else [[given] for given in same]:
                self._outcomes(batch)

    def fuzz(self, example: Any, tries: int = TRIES, seed: int = 0) -> None:
        """Inputs of all kinds, made from an example that is right, are read or refused, and soon."""
        for given in itertools.islice(_variants(example, random.Random(seed)), tries):  # noqa: S311  no secret
            began = time.thread_time()
            try:
                parsed = self.processor.parse(given)
                self.processor.make_task(parsed, "fuzz")
            except NonRetryableError as error:
                assert str(error), "an input is refused without a word"
            except Exception as error:
                raise AssertionError(
                    f"an input is not refused but raises {error!r}: {_short(given)}"
                ) from error
            took = time.thread_time() - began
            assert took < MAX_PARSE_SECONDS, f"an input takes {took:.1f} s to be read: {_short(given)}"

    def _outcomes(self, inputs: Sequence[JsonValue]) -> list[Output | Failure]:
        """An outcome for each, in order."""
        tasks = [self._task(given, number) for number, given in enumerate(inputs)]
        found = self.processor.process_batch(tasks, self._context())
        pairs = list(found.items() if isinstance(found, Mapping) else found)
        ids = [task_id for task_id, _ in pairs]
        assert len(ids) == len(set(ids)), "a task has two outcomes"
        assert set(ids) == {task.id for task in tasks}, "not every task has an outcome, or a stranger has one"
        outcomes = {task_id: as_output(outcome) for task_id, outcome in pairs}
        return [outcomes[task.id] for task in tasks]

    def _task(self, given: Any, number: int) -> Task[Any]:
        return self.processor.make_task(self.processor.parse(given), f"task-{number}")

    def _context(self) -> Context:
        return Context(
            correlation_id="test",
            attempt=1,
            deadline=time.monotonic() + TIMEOUT_SECONDS,
            log=ProcessorLog({}),
            settings=self.processor.settings,
            connect=lambda: self.provider,
        )

    def _error(self, failure: Failure) -> TaskError:
        if failure.retry is not None:
            return RetryableError(failure.message, reason=failure.retry)
        return NonRetryableError(failure.message, blame=failure.blame)


def _variants(example: JsonValue, chance: random.Random) -> Iterator[JsonValue]:
    yield from _ODD
    if isinstance(example, dict):
        for name in example:
            yield {key: value for key, value in example.items() if key != name}
            yield from ({**example, name: odd} for odd in _ODD)
    while True:
        yield _changed(example, chance)


def _changed(value: JsonValue, chance: random.Random) -> JsonValue:
    """The value with something odd in some place."""
    if chance.random() < 0.2:  # noqa: PLR2004
        return chance.choice(_ODD)
    if isinstance(value, dict) and value:
        name = chance.choice(list(value))
        return {**value, name: _changed(value[name], chance)}
    if isinstance(value, list) and value:
        place = chance.randrange(len(value))
        return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    return chance.choice(_ODD)


def _short(given: Any) -> str:
    return ascii(given)[:200]
