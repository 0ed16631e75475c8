"""The lines that the demo ends with."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from examples.demo.backend import Outcome, Tally
from examples.demo.nearest import Neighbour
from examples.demo.progress import rate
from examples.demo.service_page import ProviderCalls

ERRORS_SHOWN = 3
ERROR_CHARACTERS = 200
OPENING_CHARACTERS = 72


def result_lines(tally: Tally, elapsed_seconds: float, calls: ProviderCalls | None) -> Iterator[str]:
    tasks_a_second = rate(tally.done, elapsed_seconds)
    yield f"time         {elapsed_seconds:.1f} s, the start of the service included"
    yield f"throughput   {tasks_a_second:.0f} tasks/s"
    yield (
        f"tasks        {tally.succeeded} succeeded, {tally.failed} failed, "
        f"{tally.processing} processing, {tally.pending} pending"
    )
    if calls is not None:
        texts = "" if calls.texts_a_call is None else f", {calls.texts_a_call:.0f} texts each on average"
        yield f"model calls  {calls.calls}{texts}"


def error_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The commonest errors of failed tasks, each with its number."""
    errors = Counter(" ".join(outcome.error.split()) for outcome in outcomes if outcome.error)
    for error, count in errors.most_common(ERRORS_SHOWN):
        yield f"{count} failed: {error[:ERROR_CHARACTERS]}"
    if len(errors) > ERRORS_SHOWN:
        yield f"... and {len(errors) - ERRORS_SHOWN} other errors"
    if errors:
        yield ""


def proof_lines(answers: Mapping[str, Sequence[Neighbour]], compared: int) -> Iterator[str]:
    yield f"The nearest of {compared} stored vectors to three questions (cosine, subject, passage):"
    for question, neighbours in answers.items():
        yield ""
        yield f'  "{question}"'
        for neighbour in neighbours:
            passage = neighbour.passage
            opening = textwrap.shorten(passage.text, OPENING_CHARACTERS, placeholder=" ...")
            yield f"    {neighbour.cosine:5.2f}  {passage.subject:<14} {opening}"
