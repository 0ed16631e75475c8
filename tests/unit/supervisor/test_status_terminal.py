"""The status in a terminal."""

from dataclasses import replace

from rich.console import Console

from supervisor.console.terminal import render_status
from supervisor.status.status import DeathStatus, FailureStatus, RateLimitStatus, Status
from tests.unit.supervisor.statuses import WORKING


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
