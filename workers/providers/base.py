"""What every source of embeddings offers: vectors that were checked once and are encoded to JSON once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.models import Usage
from shared.plain_text import count
from shared.provider_accounts import ProviderAccount
from shared.task_inputs import MAX_DIMENSIONS
from workers.providers.calls import ProviderCalls
from workers.providers.chat import ChatAnswer, ChatRequest

Vector: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


def bad_answer(what: str, *, one_by_one: bool = False) -> RetryableError:
    """The error for an answer that cannot be used: the provider's trouble as a whole, never one task's fault.

    `one_by_one`: an answer to a single text could be used.
    """
    message = f"the provider's answer cannot be used: {what}"
    return RetryableError(message, reason=RetryReason.BAD_RESPONSE, one_by_one=one_by_one)


@dataclass(frozen=True, slots=True)
class BadVector:
    """In place of a vector that cannot be used, though others of the same call can."""

    complaint: str

    @property
    def error(self) -> RetryableError:
        """The error of a call for this text alone."""
        return bad_answer(self.complaint)


Row: TypeAlias = Vector | BadVector


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector or a complaint for each text, in the order of the texts. At least one is a vector.

    Only `check` makes them, so the type says that the check was done.
    """

    rows: Sequence[Row]

    @classmethod
    def check(cls, rows: Sequence[Row], *, texts: int, dimensions: int | None) -> "Vectors":
        """Accept `rows` for so many `texts`; a row that cannot be used becomes a BadVector.

        A vector must be finite, not empty, and `dimensions` long; without `dimensions`, as long as most.
        Raises RetryableError(BAD_RESPONSE) where none can be used, and NonRetryableError where all have
        another length than asked for: a server that ignores `dimensions` will do so again.
        """
        if len(rows) != texts:
            raise bad_answer(f"{count(len(rows), 'vector')} for {count(texts, 'text')}")
        finite = [_finite(row) for row in rows]
        expected = _expected_length(finite, dimensions)
        checked = [_of_length(row, expected) for row in finite]
        complaints = [row.complaint for row in checked if isinstance(row, BadVector)]
        if len(complaints) == texts:
            raise bad_answer(complaints[0])
        return cls(checked)

    @property
    def good(self) -> list[Vector]:
        """The rows that can be used."""
        return [row for row in self.rows if not isinstance(row, BadVector)]

    def to_json(self) -> list[bytes | BadVector]:
        """Each vector as a JSON list.

        A float32 is written with the fewest digits that give the same float32 back: half the bytes of
        its value as a double, which every PATCH and the journal would carry.
        """
        return [
            row if isinstance(row, BadVector) else orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
            for row in self.rows
        ]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The answer to one call. `usage` is that of the whole call, 0 where the provider did not say."""

    vectors: Vectors
    model: str
    """The model that computed them, by the name the provider gives it."""
    usage: Usage


class BaseProvider:
    """A source of embeddings, of chat answers, or of both, in a worker process. Threads may share it.

    A package offers one under the entry point group `ai_task_processor.providers`, by the name of its kind.
    Raise RetryableError where the same call may succeed later, with the reason; NonRetryableError where it
    never will. Count each call with `self.calls.call(...)`. `preload` and `__init__` may raise
    ConfigurationError: then the provider is on hold, with that reason.
    """

    kind: ClassVar[str] = ""

    def __init__(self, settings: ProviderAccount, calls: ProviderCalls) -> None:
        self.settings = settings
        self.calls = calls

    @classmethod
    def preload(cls) -> None:
        """Import in the forkserver what each worker would import for itself. Start no thread."""

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        """One vector a text, in order, each `dimensions` long if given."""
        raise self._offers_no("embeddings")

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """The answer to one request."""
        raise self._offers_no("chat")

    def close(self) -> None:
        """The worker ends."""

    def _offers_no(self, what: str) -> NonRetryableError:
        return NonRetryableError(
            f"the provider {self.settings.name} offers no {what}; set MODEL_ROUTES", blame=Blame.WHOLE_UNIT
        )


class EmbeddingProvider(Protocol):
    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        """One vector a text, in order, each `dimensions` long if given.

        Raises RetryableError, or NonRetryableError where the same call would fail again.
        """
        ...


def _finite(row: Row) -> Row:
    if isinstance(row, BadVector):
        return row
    if row.size == 0:
        return BadVector("a vector is empty")
    if row.size > MAX_DIMENSIONS:
        return BadVector(f"a vector has {row.size:,} numbers, and {MAX_DIMENSIONS:,} are the most")
    if row.ndim != 1:
        return BadVector("a vector is no plain list of numbers")
    if not np.isfinite(row).all():
        return BadVector("a vector holds NaN or infinity")
    return row


def _expected_length(rows: Sequence[Row], dimensions: int | None) -> int:
    """0 where no row has a length."""
    lengths = Counter(row.size for row in rows if not isinstance(row, BadVector)).most_common()
    if not lengths:
        return 0
    if dimensions is not None:
        if len(lengths) == 1 and lengths[0][0] != dimensions:
            raise NonRetryableError(
                f'input: "dimensions": asked for {dimensions}, the server sends {lengths[0][0]}',
                blame=Blame.WHOLE_UNIT,
            )
        return dimensions
    if len(lengths) > 1 and lengths[0][1] == lengths[1][1]:
        raise bad_answer(f"vectors of {lengths[0][0]} and of {lengths[1][0]} numbers in one answer")
    return lengths[0][0]


def _of_length(row: Row, expected: int) -> Row:
    if isinstance(row, BadVector) or row.size == expected:
        return row
    return BadVector(f"a vector has {row.size} numbers where {expected} were expected")
