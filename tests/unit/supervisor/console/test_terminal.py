"""The status in a terminal."""

from dataclasses import replace

from rich.console import Console

from supervisor.console.terminal import render_status
from supervisor.runtime.trouble import Trouble
from supervisor.status.status import (
    DeathStatus,
    FailureStatus,
    LearnedAboutModel,
    LearnedStatus,
    RateLimitStatus,
    Status,
)
from tests.unit.supervisor.status.statuses import WORKING

REFUSED = Trouble(
    "api",
    "polls",
    "unreachable",
    "connection refused",
    "http://api:8000",
    "API_BASE_URL",
    2,
    WORKING.at_seconds - 60,
    WORKING.at_seconds,
)


def shown(status: Status, width: int = 120) -> str:
    console = Console(width=width, record=True, file=None, quiet=True)
    with console.capture():
        console.print(render_status(status))
    plain = Console(width=width, no_color=True)
    with plain.capture() as capture:
        plain.print(render_status(status))
    return capture.get()


def test_terminal_shows_the_facts_of_the_page() -> None:
    failure = FailureStatus(WORKING.at_seconds - 95, 14, "task-9", "text-embedding", "no such model")
    death = DeathStatus(WORKING.at_seconds - 700, 2, 3, 100, "was killed by SIGKILL")
    limit = RateLimitStatus("text-embedding-3-small", "requests", 2987, 3000, 0.3)
    text = shown(replace(WORKING, failures=(failure,), deaths=(death,), rate_limits=(limit,)))
    for fact in (
        "Working on 100 tasks in 1 worker",
        "1,203",
        "100 tasks of text-embedding-3-small",
        "2,987 of 3,000 requests",
        "no such model",
        "it was killed by SIGKILL",
        "840 tasks done, 4 failed",
    ):
        assert fact in text


def test_terminal_obeys_nothing_that_comes_from_outside() -> None:
    failure = FailureStatus(WORKING.at_seconds, 1, "\x1b]0;owned\x07", "t", "[bold red]a\x1b[2J[/]")
    text = shown(replace(WORKING, failures=(failure,)))
    assert "\x1b" not in text
    assert "[bold red]a" in text


def test_narrow_terminal_loses_no_line_end() -> None:
    assert all(len(line) <= 60 for line in shown(WORKING, 60).splitlines())


def test_terminal_shows_the_cause_of_trouble_and_what_was_learned() -> None:
    model = LearnedAboutModel("embed-9", 10, None, 2, 0.25)
    learned = LearnedStatus(50, 20.0, 12.0, (model, LearnedAboutModel("embed-8", None, None, None, 0.1)))
    text = " ".join(shown(replace(WORKING, troubles=(REFUSED,), learned=learned), 160).split())
    assert "connection refused (at http://api:8000) polls API_BASE_URL 2" in text
    assert "23:59:00" in text
    for limit in (
        "50 tasks a page",
        "a poll waits 20 s at most",
        "reports at 12/s",
        "model embed-9 10 texts a call, 2 calls at once, 250 ms a text",
    ):
        assert limit in text
    assert "embed-8" not in text


def test_terminal_has_no_table_of_limits_where_none_is_known() -> None:
    assert "Learned" not in shown(WORKING)


def test_terminal_shows_what_waits_and_runs_of_each_task_type() -> None:
    text = " ".join(shown(WORKING).split())
    assert "text-generation 12,345 0 20" in text
    assert "text-embedding 8 1 -" in text
