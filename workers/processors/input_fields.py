"""Fields that the inputs of several task types have."""

from typing import Annotated

from pydantic import AfterValidator

from workers.providers.base import MAX_MODEL_CHARACTERS


def _with_words(value: str) -> str:
    if not value or value.isspace():
        raise ValueError("is empty")
    return value


def _nameable(value: str) -> str:
    if not value.strip() or len(value) > MAX_MODEL_CHARACTERS:
        raise ValueError(f"must be a name of 1 to {MAX_MODEL_CHARACTERS} characters")
    return value


Words = Annotated[str, AfterValidator(_with_words)]
"""A text that is not blank."""
ModelName = Annotated[str, AfterValidator(_nameable)]
