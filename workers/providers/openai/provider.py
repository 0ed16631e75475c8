"""The provider kind `openai`: OpenAI, Azure's v1 address, and every server that speaks the same API."""

from collections.abc import Sequence
from typing import ClassVar

from shared.errors import ConfigurationError
from shared.models import OPENAI_HOST
from shared.provider_accounts import OPENAI, ProviderAccount
from workers.providers.base import BaseProvider, Embeddings
from workers.providers.calls import ProviderCalls
from workers.providers.chat import ChatAnswer, ChatRequest
from workers.providers.openai.client import OpenAIClient, preload

NO_KEY = "no-key"
"""Sent to servers that want none: the SDK insists on one."""


class OpenAIProvider(BaseProvider):
    kind: ClassVar[str] = OPENAI

    def __init__(self, settings: ProviderAccount, calls: ProviderCalls) -> None:
        """Raises ConfigurationError where the client cannot be set up."""
        super().__init__(settings, calls)
        if settings.api_key is None and (settings.name == OPENAI or OPENAI_HOST in settings.address):
            raise ConfigurationError(f"{settings.setting('api_key')}: is required for {settings.address}")
        key = settings.api_key.get_secret_value() if settings.api_key else NO_KEY
        self._client = OpenAIClient.connect(key, settings, calls)

    @classmethod
    def preload(cls) -> None:
        preload()

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        return self._client.embed(texts, model, dimensions)

    def chat(self, request: ChatRequest) -> ChatAnswer:
        return self._client.chat(request)

    def close(self) -> None:
        self._client.close()
