"""Keeps a task's text out of what is logged and shown: messages from outside may quote it.

Done in the worker, since it takes as long as the texts are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, cast

from shared.errors import RetryReason
from shared.messages import MAX_SHOWN_CHARACTERS, Failure, UnitDone
from shared.models import Output, Task
from workers.processors.base import strings_in

Outcomes: TypeAlias = Mapping[str, Output | Failure]

MIN_QUOTE_CHARACTERS = 24
MIN_TEXT_CHARACTERS = 4
HIDDEN = "[text]"
WITHOUT_ANSWER = frozenset({RetryReason.CONNECTION, RetryReason.DISCONNECTED, RetryReason.TIMEOUT})
"""The message is our own: the provider has said nothing."""

_PROBE = MIN_QUOTE_CHARACTERS // 2
_MARGIN = MIN_QUOTE_CHARACTERS - 1
_MAX_SEEN = 10_000


def with_shown_words(done: UnitDone, tasks: Sequence[Task]) -> UnitDone:
    """`done` with words for each failure that quote no text of the tasks."""
    outcomes = outcomes_with_shown_words(done.outcomes, tasks)
    if done.failure is None:
        return done if outcomes is done.outcomes else replace(done, outcomes=outcomes)
    [failure] = outcomes_with_shown_words({"": done.failure}, tasks).values()
    return replace(done, outcomes=outcomes, failure=cast("Failure", failure))


def outcomes_with_shown_words(outcomes: Outcomes, tasks: Sequence[Task]) -> Outcomes:
    """The same where no failure can quote a text."""
    failures = [outcome for outcome in outcomes.values() if isinstance(outcome, Failure)]
    messages = {failure.message for failure in failures if failure.retry not in WITHOUT_ANSWER}
    if not messages:
        return outcomes
    texts = [text for task in tasks for text in strings_in(task.input) if text != task.key.model]
    shown = without_quotes(messages, texts)
    return {
        task_id: outcome
        if isinstance(outcome, Output)
        else replace(outcome, shown=shown.get(outcome.message, outcome.shown))
        for task_id, outcome in outcomes.items()
    }


def without_quotes(messages: Iterable[str], texts: Sequence[str]) -> dict[str, str]:
    """The first words of each message, without a whole text, or 24 characters or more of one."""
    short = [text for text in texts if MIN_TEXT_CHARACTERS <= len(text) < MIN_QUOTE_CHARACTERS]
    beginnings = {message: _without_short(message, short) for message in messages}
    quoted = _quoted(beginnings.values(), texts)
    return {message: _shortened(message, cut, quoted) for message, cut in beginnings.items()}


def _without_short(message: str, short: Sequence[str]) -> str:
    cut = message[: MAX_SHOWN_CHARACTERS + _MARGIN]
    for text in short:
        cut = cut.replace(text, HIDDEN)
    return cut


def _quoted(cuts: Iterable[str], texts: Iterable[str]) -> set[str]:
    """The runs of 24 characters that the cuts have in common with the texts.

    Every such run holds a whole block of 12 of the text, counted from its beginning. So one look at each
    block is enough, whatever the text is.
    """
    probes: set[str] = set()
    runs: set[str] = set()
    for cut in cuts:
        probes.update(cut[i : i + _PROBE] for i in range(len(cut) - _PROBE + 1))
        runs.update(cut[i : i + MIN_QUOTE_CHARACTERS] for i in range(len(cut) - _MARGIN))
    found: set[str] = set()
    seen: set[str] = set()
    """So that a text that repeats itself is looked at once."""
    for text in texts if runs else ():
        for block in range(0, len(text) - _PROBE + 1, _PROBE):
            if text[block : block + _PROBE] in probes:
                around = text[max(0, block - _PROBE) : block + MIN_QUOTE_CHARACTERS]
                if around not in seen:
                    seen.add(around)
                    starts = range(len(around) - _MARGIN)
                    found.update(runs.intersection([around[i : i + MIN_QUOTE_CHARACTERS] for i in starts]))
            if len(seen) > _MAX_SEEN:
                seen.clear()
    return found


def _shortened(message: str, cut: str, quoted: set[str]) -> str:
    # Near the end of a cut message a quotation may be too short to be known as one.
    end = len(cut) - _MARGIN if len(message) > MAX_SHOWN_CHARACTERS + _MARGIN else len(cut)
    words = _masked(cut, quoted, end)
    if end < len(cut) or len(words) > MAX_SHOWN_CHARACTERS:
        return words[: MAX_SHOWN_CHARACTERS - 1] + "…"
    return words


def _masked(cut: str, quoted: set[str], end: int) -> str:
    kept: list[str] = []
    hidden_until = 0
    for place in range(end):
        if cut[place : place + MIN_QUOTE_CHARACTERS] in quoted:
            if hidden_until <= place:
                kept.append(HIDDEN)
            hidden_until = place + MIN_QUOTE_CHARACTERS
        if hidden_until <= place:
            kept.append(cut[place])
    return "".join(kept)
