"""Asks for a chat completion, in the way that the server takes it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from shared.logs import LogEvent, get_logger
from workers.providers.chat import ChatRequest
from workers.providers.openai.chat_body import chat_body, schema_support, sent_parts
from workers.providers.openai.quirks import (
    RESPONSE_FORMAT,
    LearnedQuirks,
    Quirks,
    is_about_this_schema,
    refused_parts,
)
from workers.providers.openai.refusals import RefusedCall

MAX_CALLS = 8
"""A refusal costs nothing, and most servers name one part at a time."""

Body: TypeAlias = Mapping[str, object]
_log = get_logger(__name__)


class ChatQuestions:
    """Asks once more without the parts that the server refuses, and from then on always.

    `send` makes one call. What was left out is remembered for the model once the call was served.
    """

    def __init__(self, send: Callable[[Body, str], Body | RefusedCall], known: Quirks) -> None:
        self._send = send
        self._learned = LearnedQuirks(known)

    def ask(self, request: ChatRequest) -> Body | RefusedCall:
        quirks = lasting = self._learned.of(request.model)
        tried: set[str] = set()
        for _ in range(MAX_CALLS):
            body = chat_body(request, quirks)
            tried.add(quirks.token_limit)
            answer = self._send(body, request.model)
            if not isinstance(answer, RefusedCall):
                self._learn(request.model, lasting)
                return answer
            named = refused_parts(answer, sent_parts(body, request, quirks))
            less = quirks.after_refusal_of(named, schema_support(request, quirks))
            limit_is_refused = less.token_limit != quirks.token_limit and less.token_limit in tried
            if less == quirks or limit_is_refused:
                return answer
            of_schema = RESPONSE_FORMAT in named and is_about_this_schema(answer)
            lasting = replace(less, schema=lasting.schema) if of_schema else less
            quirks = less
        return answer

    def _learn(self, model: str, quirks: Quirks) -> None:
        if self._learned.learn(model, quirks):
            left_out = sorted(quirks.not_taken)
            _log.info(
                LogEvent.QUIRK_LEARNED,
                model=model,
                token_limit=quirks.token_limit,
                schema=quirks.schema,
                left_out=left_out,
            )
