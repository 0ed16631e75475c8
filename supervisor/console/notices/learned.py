"""What was learned about the other sides, in words: a row for each limit that is known."""

from collections.abc import Iterator

from supervisor.console.formatting import count, duration, rate
from supervisor.status.status import LearnedAboutModel, LearnedStatus

API_NAME = "the task API"


def learned_rows(learned: LearnedStatus) -> list[tuple[str, str]]:
    """Whose limit, and what it is. Empty where nothing is limited."""
    rows = [(API_NAME, words) for words in _api_limits(learned)]
    for model in learned.models:
        limits = ", ".join(_model_limits(model))
        if limits:
            rows.append((f"model {model.model}", f"{limits}{_pace(model)}"))
    return rows


def _api_limits(learned: LearnedStatus) -> Iterator[str]:
    if learned.tasks_a_page is not None:
        yield f"{_up_to(learned.tasks_a_page, 'task')} a page"
    if learned.poll_wait_seconds is not None:
        yield f"a poll is held for {duration(learned.poll_wait_seconds)} at most"
    if learned.reports_per_second is not None:
        yield f"reports at {rate(learned.reports_per_second)}"


def _model_limits(model: LearnedAboutModel) -> Iterator[str]:
    if model.inputs_a_call is not None:
        yield f"{_up_to(model.inputs_a_call, 'text')} a call"
    if model.bytes_a_call is not None:
        yield f"{_up_to(model.bytes_a_call, 'byte')} a call"
    if model.calls_at_once is not None:
        yield f"{count(model.calls_at_once, 'call')} at once"


def _pace(model: LearnedAboutModel) -> str:
    return "" if model.seconds_an_input is None else f", {duration(model.seconds_an_input)} a text"


def _up_to(number: int, noun: str) -> str:
    """Nothing has worked yet where the number is 0: smaller amounts are being tried."""
    return count(number, noun) if number else f"fewer {noun}s"
