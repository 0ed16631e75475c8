"""In what servers that speak OpenAI's API differ, as data: known beforehand, or learned from refusals."""

import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from workers.providers.openai.refusals import QUOTED, RefusedCall

MAX_TOKENS: Final = "max_tokens"
MAX_COMPLETION_TOKENS: Final = "max_completion_tokens"
OTHER_LIMIT: Final = {MAX_TOKENS: MAX_COMPLETION_TOKENS, MAX_COMPLETION_TOKENS: MAX_TOKENS}
RESPONSE_FORMAT: Final = "response_format"
SYSTEM_ROLE: Final = "system"
MAX_MODELS: Final = 200
"""So many models are remembered."""


class SchemaSupport(StrEnum):
    """How a server is asked for an answer that matches a schema."""

    STRICT = "strict"
    """`json_schema` with `strict`, where the schema is within the subset that strict mode knows."""
    LOOSE = "loose"
    """`json_schema` without it."""
    PROMPT = "prompt"
    """Not by a parameter: the schema stands in the prompt."""


LESS: Final = {SchemaSupport.STRICT: SchemaSupport.LOOSE, SchemaSupport.LOOSE: SchemaSupport.PROMPT}


@dataclass(frozen=True, slots=True)
class Quirks:
    """What one server takes for one model. `not_taken` are parameters, and `system` for that role."""

    token_limit: str = MAX_TOKENS
    schema: SchemaSupport = SchemaSupport.STRICT
    not_taken: frozenset[str] = frozenset()

    def after_refusal_of(self, named: Collection[str], asked: SchemaSupport | None) -> "Quirks":
        """What to ask with next. `asked` is how the schema was asked for."""
        quirks = self
        if self.token_limit in named:
            quirks = replace(quirks, token_limit=OTHER_LIMIT[self.token_limit])
        if RESPONSE_FORMAT in named and asked is not None:
            quirks = replace(quirks, schema=LESS.get(asked, SchemaSupport.PROMPT))
        rest = frozenset(named) - {self.token_limit, RESPONSE_FORMAT}
        return replace(quirks, not_taken=self.not_taken | rest)


KNOWN_HOSTS: Final[Mapping[str, Quirks]] = {
    "api.openai.com": Quirks(token_limit=MAX_COMPLETION_TOKENS),
    "openai.azure.com": Quirks(token_limit=MAX_COMPLETION_TOKENS),
    "api.deepseek.com": Quirks(schema=SchemaSupport.PROMPT),
}
"""By the end of the host's name. A server that is not here is asked with `max_tokens`, which all but the
newest models know: many servers ignore a name that they do not know, and then nothing bounds the answer."""


def known_quirks(host: str) -> Quirks:
    for end, quirks in KNOWN_HOSTS.items():
        if host == end or host.endswith(f".{end}"):
            return quirks
    return Quirks()


class LearnedQuirks:
    """The quirks of each model, from the server's known ones on. May be used by several threads."""

    def __init__(self, known: Quirks) -> None:
        self._known = known
        self._of_models: OrderedDict[str, Quirks] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, model: str) -> Quirks:
        with self._lock:
            return self._of_models.get(model, self._known)

    def learn(self, model: str, quirks: Quirks) -> bool:
        """Is it news?"""
        with self._lock:
            if self._of_models.get(model, self._known) == quirks:
                return False
            self._of_models[model] = quirks
            self._of_models.move_to_end(model)
            if len(self._of_models) > MAX_MODELS:
                self._of_models.popitem(last=False)
            return True


_STATUSES = frozenset({400, 404, 405, 422, 501})
_UNSUPPORTED = re.compile(
    r"unsupported|not (?:yet )?(?:be )?"
    r"(?:supported|permitted|allowed|available|implemented|recogni[sz]ed|accepted)"
    r"|(?:not|n't|no longer) (?:support|accept|allow|recogni[sz]e)|unrecogni[sz]ed|\bunknown\b|\bunexpected\b"
    r"|extra (?:inputs?|fields?)|extra_forbidden|unavailable|deprecated|may only be set|only the default"
    r"|\bonly \S{1,20} (?:is|are) (?:allowed|supported)|(?:cannot|can't) (?:both )?be (?:used|set|specified)"
    r"|(?:not |in)compatible|\buse \S{1,40} instead|must be (?:1(?:\.0)?|unset|omitted) (?:for|when|with)\b",
    re.IGNORECASE,
)
_UNSUPPORTED_NAMES = frozenset(
    {"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"}
)
_SPEAKS_OF_FORMAT = re.compile(
    r"json[ _-]?schema|response[ _](?:format|schema)|structured output|guided|\bgrammar\b|json mode"
    r"|failed to (?:generate|validate) json",
    re.IGNORECASE,
)
_FORMAT_NAMES = re.compile(r"json[ _-]?schema", re.IGNORECASE)
_SPEAKS_OF_THIS_SCHEMA = re.compile(
    r"\bschemas?\b|additionalproperties|\bgrammar\b|keyword|features? not supported|minitems|\$ref",
    re.IGNORECASE,
)
_NAMES_OF_THIS_SCHEMA = frozenset({"invalid_json_schema", "json_validate_failed"})
_SPEAKS_OF_SYSTEM = re.compile(
    r"messages\[\d+\]\.role\b|\bsystem\b.{0,20}\b(?:role|message)|\brole\b.{0,40}\bsystem\b"
    r"|roles must alternate|only user and assistant roles",
    re.IGNORECASE,
)


def refused_parts(refusal: RefusedCall, sent: Collection[str]) -> frozenset[str]:
    """Which of the parts that were sent the server says it does not know.

    A value that is out of its range is the task's fault, and not in here. `response_format` is, whatever is
    wrong with it: there is another way to ask for the same.
    """
    if refusal.is_from_a_page or (refusal.status not in _STATUSES and not refusal.in_success):
        return frozenset()
    message, error = refusal.error.message, refusal.error
    said = QUOTED.sub(lambda quote: quote[0] if quote[0][1:-1] in _spellings_of_all(sent) else " ", message)
    named = {name for name in sent if _is_param(error.param, name) or _mentions(said, name)}
    unsupported = bool(error.names & _UNSUPPORTED_NAMES or _UNSUPPORTED.search(message))
    found = named if unsupported else named & {RESPONSE_FORMAT}
    if RESPONSE_FORMAT in sent and _SPEAKS_OF_FORMAT.search(message):
        found = found | {RESPONSE_FORMAT}
    of_system = _SPEAKS_OF_SYSTEM.search(message) or _is_param(error.param, "messages")
    if SYSTEM_ROLE in sent and of_system and (unsupported or "roles" in message.lower()):
        found = found | {SYSTEM_ROLE}
    return frozenset(found)


def is_about_this_schema(refusal: RefusedCall) -> bool:
    """Is it this one schema that is refused? Then it says nothing of the model's other tasks."""
    said = _FORMAT_NAMES.sub(" ", refusal.error.message)
    return bool(_SPEAKS_OF_THIS_SCHEMA.search(said) or refusal.error.names & _NAMES_OF_THIS_SCHEMA)


def _is_param(param: str, name: str) -> bool:
    return param == name or param.startswith((f"{name}.", f"{name}["))


def _mentions(said: str, name: str) -> bool:
    if name == SYSTEM_ROLE:
        return False
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) for word in _spellings(name))


def _spellings(name: str) -> tuple[str, ...]:
    """xAI writes `topP` for `top_p`."""
    first, *rest = name.split("_")
    return (name, first + "".join(part.capitalize() for part in rest))


def _spellings_of_all(names: Collection[str]) -> frozenset[str]:
    spelt = {word for name in names for word in _spellings(name)}
    return frozenset(spelt | {f"{RESPONSE_FORMAT}.type"})
