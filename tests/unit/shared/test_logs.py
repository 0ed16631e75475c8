"""One JSON object a line, with its closed set of fields, and never a secret."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from shared import logs, standard_output
from shared.logs import LogEvent, configure_logs, get_logger
from shared.plain_text import is_plain
from shared.settings import LogFormat, LogLevel
from shared.standard_output import StandardOutput


class Terminal:
    """What reached standard output."""

    def __init__(self) -> None:
        self._written = b""
        self._output: StandardOutput | None = None

    def isatty(self, _: int) -> bool:
        return False

    def write(self, descriptor: int, data: bytes) -> int:
        assert descriptor == 1
        self._written += data
        return len(data)

    def configure_logs(self, level: LogLevel, log_format: LogFormat, process: str = "supervisor") -> None:
        self._output = configure_logs(level, log_format, process)
        self._written = b""

    @property
    def written(self) -> bytes:
        assert self._output is None or self._output.wait_until_written()
        return self._written

    @property
    def lines(self) -> list[dict[str, Any]]:
        assert self.written.endswith(b"\n") or not self.written
        return [json.loads(line) for line in self.written.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Standard output, and logs set up anew afterwards as they were."""
    terminal = Terminal()
    monkeypatch.setattr(logs, "os", terminal)
    monkeypatch.setattr(standard_output, "os", terminal)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield terminal
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_line_has_the_fields_that_every_line_has(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON, "worker-3")
    get_logger("loop").info(LogEvent.PAUSED)
    line = terminal.line
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.tzinfo is not None
    assert line == {"level": "info", "event": "paused", "logger": "loop", "process": "worker-3"}


def test_line_carries_what_it_is_given(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    get_logger("x").warning(LogEvent.TASK_RETRIED, task_id="ü/☃", attempts=2, seconds=None)
    assert terminal.line | {"task_id": "ü/☃", "attempts": 2, "seconds": None} == terminal.line


def test_line_breaks_within_values_do_not_break_the_line(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    get_logger("x").info(LogEvent.TASK_REFUSED, detail='one\ntwo\r\n\u2028"three"')
    assert terminal.line["detail"] == 'one\ntwo\r\n\u2028"three"'


@pytest.mark.parametrize("log_format", LogFormat)
def test_nothing_that_a_screen_would_obey_or_hide_is_written_as_it_is(
    terminal: Terminal, log_format: LogFormat
) -> None:
    terminal.configure_logs(LogLevel.INFO, log_format)
    hostile = "a\x1b[2J\x7f\x9b\u202e\u2028\u200bb"
    get_logger("x").info(LogEvent.TASK_REFUSED, detail=hostile, nested={hostile: [hostile]}, huge=2**70)
    get_logger("x").info(LogEvent.TASK_REFUSED, detail=hostile)
    assert all(is_plain(line) for line in terminal.written.decode().split("\n"))


def test_lines_below_the_level_are_not_written(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.WARNING, LogFormat.JSON)
    get_logger("x").info(LogEvent.PAUSED)
    assert not terminal.written


def test_traceback_is_one_field(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger("x").exception(LogEvent.THREAD_CRASHED)
    assert "ValueError: broken" in terminal.line["exception"]


def test_secret_is_written_as_stars(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    get_logger("x").info(
        LogEvent.SERVICE_STARTING, key=SecretStr("hunter2"), nested={"k": SecretStr("hunter2")}
    )
    assert b"hunter2" not in terminal.written
    assert b"****" in terminal.written


def test_console_is_for_people(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.CONSOLE)
    get_logger("x").info(LogEvent.PAUSED, task_id="t1")
    text = terminal.written.decode()
    assert "paused" in text
    assert "task_id" in text
    assert text.count("\n") == 1


def test_warning_of_a_library_is_a_line_like_any_other(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("some.library").warning("look at %s", "this")
    line = terminal.line
    assert (line["event"], line["logger"], line["message"]) == (
        "library_message",
        "some.library",
        "look at this",
    )


@pytest.mark.parametrize(("level", "shown"), [(30, "warning"), (35, "warning"), (40, "error"), (50, "error")])
def test_message_of_a_library_keeps_its_level(terminal: Terminal, level: int, shown: str) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("some.library").log(level, "look")
    assert terminal.line["level"] == shown


def test_chatter_of_libraries_is_left_out_even_at_debug(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.DEBUG, LogFormat.JSON)
    logging.getLogger("some.library").info("chatter")
    assert not terminal.written


def test_library_with_a_level_of_its_own_does_no_harm(terminal: Terminal) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("some.library").log(35, "between warning and error")
    assert terminal.line["message"] == "between warning and error"


ANY_TEXT = st.text(st.characters())
ANY_VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=20), ANY_TEXT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=ANY_VALUE | st.lists(ANY_VALUE, max_size=3) | st.dictionaries(st.integers(), ANY_VALUE, max_size=3)
)
def test_no_value_stops_a_line_from_being_written(terminal: Terminal, value: object) -> None:
    terminal.configure_logs(LogLevel.INFO, LogFormat.JSON)
    get_logger("x").info(LogEvent.TASK_REFUSED, detail=value)
    assert terminal.line["event"] == "task_refused"


def test_every_event_has_a_name_in_snake_case() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", event) for event in LogEvent)
    assert all(event.value == event.name.lower() for event in LogEvent)
