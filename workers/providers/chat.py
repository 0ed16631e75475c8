"""What a chat call asks, and what comes back, whatever the provider. Loads nothing heavy: plug-ins use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.errors import Blame, NonRetryableError
from shared.models import NOTHING_BILLED, JsonValue, Usage
from shared.plain_text import count, one_line

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
TRUNCATED: Final = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
)
FILTERED: Final = frozenset(
    {
        "content_filter",
        "content_filtered",
        "guardrail_intervened",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "sensitive",
    }
)
REFUSED: Final = frozenset({"refusal"})
WANTS_TOOLS: Final = frozenset({"tool_calls", "tool_use", "function_call"})
"""How servers say why the answer ended, in lower case. What is in none of these sets is a whole answer."""
_SHOWN_REASON_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `role` is `system`, `developer`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call. What is None or empty is not sent: the provider's own defaults hold."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    """Further parameters of Chat Completions, sent as they are: `top_p`, `seed`, `stop`."""
    response_schema: Mapping[str, JsonValue] | None = None
    """Asked for by the best means that the server has. Whoever asks checks the answer."""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What the provider answered. `complete_text` says if it can be used."""

    text: str | None
    model: str
    """The model that answered, by the name the provider gives it."""
    finish_reason: str = ""
    """Why the answer ended, in the server's own word; empty where it did not say."""
    refusal: str = ""
    """The model's words, where it refuses by other means than its text."""
    wants_tools: bool = False
    usage: Usage = NOTHING_BILLED

    def complete_text(self) -> str:
        """The text of a whole answer. Raises NonRetryableError, which quotes neither prompt nor answer.

        What ended the answer comes before what is in it: half an answer is never taken for a whole one.
        """
        if (why := self._fault()) is not None:
            raise unusable_answer(why, self.usage)
        return self.text or ""

    def _fault(self) -> str | None:
        ended = self.finish_reason.lower()
        if ended in TRUNCATED:
            return (
                f'the answer was cut off{self._length} ({self._reason}): raise "max_tokens" or ask for less'
            )
        if self.refusal or ended in REFUSED:
            return "the model refused to answer"
        if ended in FILTERED:
            return f"a content filter stopped the answer ({self._reason})"
        if self.wants_tools or ended in WANTS_TOOLS:
            return "the model asked for a tool, and was offered none"
        if not self.text or self.text.isspace():
            thought = self.usage.reasoning_tokens
            spent = f"; {count(thought, 'token')} went into reasoning" if thought else ""
            return f"the model answered without a text{spent}"
        return None

    @property
    def _reason(self) -> str:
        return f'finish_reason "{one_line(self.finish_reason, _SHOWN_REASON_CHARACTERS)}"'

    @property
    def _length(self) -> str:
        written = self.usage.completion_tokens
        return f" after {count(written, 'token')}" if written else ""


def unusable_answer(why: str, usage: Usage) -> NonRetryableError:
    """The error for an answer that was served and billed, and is no result."""
    return NonRetryableError(why, blame=Blame.ANSWER, usage=usage)
