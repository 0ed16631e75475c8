"""Says which of the labels of a task fits its text, by a chat model."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from workers.processors.base import (
    BaseProcessor,
    ChatRequest,
    Context,
    EnvironmentSettings,
    Limits,
    Message,
    NonRetryableError,
    Outcome,
    SettingsConfigDict,
    Task,
)

MAX_LABELS = 100
ASK = "Answer with one of these labels and nothing else: {labels}\n\nWhich one fits this text?\n\n{text}"
ASK_AGAIN = "{answer} is none of the labels. Answer with one of these and nothing else: {labels}"

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class ClassificationInput(BaseModel):
    text: str = Field(min_length=1, max_length=100_000)
    labels: list[Label] = Field(min_length=2, max_length=MAX_LABELS)
    model: str | None = Field(default=None, min_length=1, max_length=256)


class ClassificationSettings(EnvironmentSettings):
    model_config = SettingsConfigDict(env_prefix="CLASSIFICATION_")

    model: str = "gpt-4o-mini"
    """For tasks that name none: CLASSIFICATION_MODEL."""


class TextClassificationProcessor(BaseProcessor[ClassificationInput]):
    task_type = "text-classification"
    limits = Limits(timeout_seconds=120)
    settings_type = ClassificationSettings

    def model(self, given: ClassificationInput) -> str:
        """Which provider is called follows from this, by MODEL_ROUTES."""
        return given.model or self.settings.model

    def process(self, task: Task[ClassificationInput], context: Context) -> Outcome:
        """What the provider's client raises is classified already, and is let through."""
        given = task.input
        labels = ", ".join(given.labels)
        asked: tuple[Message, ...] = (Message("user", ASK.format(labels=labels, text=given.text)),)
        answer = self._ask(given, asked, context)
        if (label := _label_in(answer, given.labels)) is None:
            again = ASK_AGAIN.format(answer=answer, labels=labels)
            asked = (*asked, Message("assistant", answer), Message("user", again))
            label = _label_in(self._ask(given, asked, context), given.labels)
        if label is None:
            # The task's fault, not the provider's: another task may well have an answer.
            raise NonRetryableError("the model answered twice with none of the labels")
        return {"label": label}

    def _ask(self, given: ClassificationInput, asked: tuple[Message, ...], context: Context) -> str:
        request = ChatRequest(model=self.model(given), messages=asked)
        return context.provider.chat(request).complete_text()


def _label_in(answer: str, labels: list[str]) -> str | None:
    said = answer.strip().strip(".\"'`").casefold()
    return next((label for label in labels if label.casefold() == said), None)
