"""What every source of embeddings offers. Without numpy, which the supervisor does not need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.models import Usage
from shared.provider_accounts import ProviderAccount
from workers.providers.calls import ProviderCalls
from workers.providers.chat import ChatAnswer, ChatRequest

if TYPE_CHECKING:
    from workers.providers.vectors import Vectors

MAX_MODEL_CHARACTERS = 256
MAX_DIMENSIONS = 65_536


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


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The answer to one call. `usage` is that of the whole call, 0 where the provider did not say."""

    vectors: "Vectors"
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
