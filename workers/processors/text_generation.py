"""Text generation: one chat call a task, and one more where the answer does not match its schema."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.errors import NonRetryableError
from shared.models import JsonValue, Output, Task, Usage
from workers.processors.answer_schema import MismatchError, check_schema, read_answer
from workers.processors.base import BaseProcessor, Context
from workers.processors.bounded_validator import UncheckableError
from workers.processors.input_fields import ModelName, Words
from workers.providers.chat import ChatAnswer, ChatRequest, Message, unusable_answer

TEXT_GENERATION: Final = "text-generation"
MAX_MESSAGES = 1000
MAX_TOKENS = 10_000_000
CANARY_TOKENS = 512
"""Enough for a model that thinks before its one word: some refuse a limit that leaves no room for that."""

_MISMATCH = 'the answer does not match "response_schema"'

Chat = Callable[[ChatRequest], ChatAnswer]


def _joined(content: object) -> object:
    """A content of text parts, as newer clients write it, is one text."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be a text, or a list of parts of type text")
    return "".join(map(str, texts))


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    check_schema(value)
    return value


class GivenMessage(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]


def _countable(messages: list[GivenMessage]) -> list[GivenMessage]:
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise ValueError(f"must hold 1 to {MAX_MESSAGES:,} messages")
    return messages


class GenerationInput(BaseModel):
    """`prompt` or `messages`, and what else a call may say. What else it holds is left unread."""

    model_config = ConfigDict(strict=True, frozen=True)

    prompt: Words | None = None
    messages: Annotated[list[GivenMessage], AfterValidator(_countable)] | None = None
    system: Words | None = None
    model: ModelName | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    response_schema: Annotated[dict[str, Any], AfterValidator(_schema)] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError('has both "prompt" and "messages": give one of them')
        if self.messages is None and self.prompt is None:
            raise ValueError('"prompt" is missing, and so is "messages"')
        if self.messages is not None and not any(message.content.strip() for message in self.messages):
            raise ValueError('"messages" hold no text')
        return self

    def request(self, model: str) -> ChatRequest:
        """The call for it. `model` holds where it names none."""
        messages = [Message(message.role, message.content) for message in self.messages or ()]
        if self.prompt is not None:
            messages.append(Message("user", self.prompt))
        if self.system is not None:
            messages.insert(0, Message("system", self.system))
        return ChatRequest(
            model=self.model or model,
            messages=tuple(messages),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            response_schema=self.response_schema,
        )


class TextGenerationProcessor(BaseProcessor[GenerationInput]):
    """Units of one task: a call has one answer."""

    task_type: ClassVar[str] = TEXT_GENERATION
    bare_string: ClassVar[str] = "prompt"

    def parse(self, given: JsonValue) -> GenerationInput:
        """With the model that holds for it."""
        parsed = super().parse(given)
        if parsed.model is not None:
            return parsed
        if not self.default_model:
            raise NonRetryableError('input: "model" is missing, and GENERATION_MODEL is not set')
        return parsed.model_copy(update={"model": self.default_model})

    def model(self, given: GenerationInput) -> str:
        return given.model or self.default_model

    def canary(self, word: str, model: str) -> GenerationInput:
        return GenerationInput(prompt=f"Answer with one word: {word}", model=model, max_tokens=CANARY_TOKENS)

    def process(self, task: Task[GenerationInput], context: Context) -> Output:
        return generate(task.input.request(self.default_model), context.provider.chat)


def generate(request: ChatRequest, chat: Chat) -> Output:
    """The answer to `request`. Raises NonRetryableError where it is no result: then it is the task's fault.

    An answer that was cut off or refused is never parsed, and never repaired.
    """
    answer = chat(request)
    text = answer.complete_text()
    if request.response_schema is None:
        return _output("text", text, answer)
    try:
        return _output("json", _read(text, request, answer.usage), answer)
    except MismatchError as mismatch:
        return _repaired(request, chat, answer, mismatch)


def _repaired(request: ChatRequest, chat: Chat, first: ChatAnswer, mismatch: MismatchError) -> Output:
    """The answer of the second and last round. Both are billed."""
    try:
        answer = chat(_repair_request(request, first.text or "", mismatch))
    except NonRetryableError:
        # The provider's words may quote the first answer.
        why = f"{_MISMATCH} ({mismatch}), and the provider refused to repair it"
        raise unusable_answer(why, first.usage) from None
    usage = first.usage + answer.usage
    try:
        value = _read(answer.complete_text(), request, usage)
    except MismatchError as again:
        why = f"{_MISMATCH}, nor does the one after it was told so: {again}"
        raise unusable_answer(why, usage) from None
    except NonRetryableError as error:
        raise unusable_answer(str(error), usage) from None
    return _output("json", value, replace(answer, usage=usage))


def _repair_request(request: ChatRequest, text: str, mismatch: MismatchError) -> ChatRequest:
    told = "\n".join(f"- {complaint}" for complaint in mismatch.complaints)
    words = (
        f"Your answer does not match the JSON Schema:\n{told}\nAnswer with the whole corrected JSON alone."
    )
    return replace(request, messages=(*request.messages, Message("assistant", text), Message("user", words)))


def _read(text: str, request: ChatRequest, usage: Usage) -> JsonValue:
    try:
        return read_answer(text, request.response_schema or {})
    except UncheckableError as error:
        raise unusable_answer(
            f'the answer cannot be checked against "response_schema": {error}', usage
        ) from None


def _output(name: str, value: JsonValue, answer: ChatAnswer) -> Output:
    usage = answer.usage
    return Output(
        name=name,
        value=orjson.dumps(value),
        model=answer.model,
        usage=usage,
        extra={
            "finish_reason": answer.finish_reason or None,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            },
        },
    )
