"""`run.py journal`, on a real journal."""

import contextlib
import shlex
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from shared.plain_text import is_plain
from supervisor.cli import main
from supervisor.journal.state_directory import JOURNAL_FILE
from supervisor.runtime.process import ExitCode
from tests.builders import make_record, make_report
from tests.fakes.journals import open_task_journal

BODY = b'{"status":"succeeded","output_data":{"embedding":[0.5]}}'

ODD_IDS = (
    "--all",
    "-x",
    "-",
    "two words",
    "new\nline\ttab",
    "'",
    '"quoted"',
    "back\\slash",
    "*",
    "~root",
    "$(id)`id`;&|<>#!{a,b}",
    "50%41",
    "%2Dall",
    "\x1b[2J\u202e\u200b",
    "größe 漢字",
    "--",
    "=",
)
RUN = Path(__file__).parents[2] / "run.py"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory whose journal holds `waits` and, rejected, `no-1` and `no-2`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    journal = open_task_journal(tmp_path / JOURNAL_FILE)
    journal.note_ready([make_record("waits")])
    for task_id in ("no-1", "no-2"):
        journal.note_finished(make_report(task_id), BODY)
        journal.note_rejected(task_id, "status 422: unknown field\x1b[2J")
    journal.commit()
    journal.close()
    return tmp_path


def add_rejected(state: Path, task_id: str, body: bytes = BODY) -> None:
    journal = open_task_journal(state / JOURNAL_FILE)
    journal.note_finished(make_report(task_id), body)
    journal.note_rejected(task_id, "status 422")
    journal.commit()
    journal.close()


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["journal", *arguments]) == ExitCode.DRAINED
    return capsys.readouterr().out.splitlines()


def rejected(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split("\t")[0] for line in lines(capsys, "list", "--state", "rejected")]


def test_list_into_a_pipe_is_a_line_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, "list")
    assert [line.split("\t")[:2] for line in found] == [
        ["waits", "ready"],
        ["no-1", "rejected"],
        ["no-2", "rejected"],
    ]
    assert all(line.count("\t") == 6 for line in found)


def test_show_tells_why_a_report_was_rejected_and_obeys_none_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = "\n".join(lines(capsys, "show", "no-1"))
    assert "status 422: unknown field\\u001b[2J" in shown
    assert "correlation-no-1" in shown


def test_show_says_nothing_of_a_tasks_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert "a text" not in "\n".join(lines(capsys, "show", "waits"))


def test_body_is_printed_as_the_api_would_get_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["journal", "show", "no-1", "--body"]) == ExitCode.DRAINED
    assert capfdbinary.readouterr().out == BODY + b"\n"


def test_retried_and_dropped_reports_are_rejected_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    lines(capsys, "retry", "no-1")
    assert rejected(capsys) == ["no-2"]
    lines(capsys, "drop", "no-2")
    assert rejected(capsys) == []


@pytest.mark.parametrize("task_id", ODD_IDS, ids=ascii)
def test_id_as_listed_is_one_argument_for_shell_xargs_and_options(
    task_id: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_rejected(state, task_id)
    shown = rejected(capsys)[-1]
    assert shlex.split(shown) == [shown]
    assert not shown.startswith("-")
    assert not set(shown) & set("*?[]{}$`~!#&|;<>()")
    assert is_plain("\n".join(lines(capsys, "show", shown)).replace("\n", ""))
    assert f"id           {shown}" in lines(capsys, "show", shown)
    assert lines(capsys, "show", shown, "--body") == [BODY.decode()]
    lines(capsys, "drop", shown)
    assert rejected(capsys) == ["no-1", "no-2"]


def test_list_fed_to_drop_by_xargs_drops_what_was_listed(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task_id in ODD_IDS:
        add_rejected(state, task_id)
    ids = "".join(f"{shown}\n" for shown in rejected(capsys)[2:])
    command = ["xargs", sys.executable, str(RUN), "journal", "drop"]
    subprocess.run(command, input=ids.encode(), check=True, timeout=30, stdout=subprocess.DEVNULL)
    assert rejected(capsys) == ["no-1", "no-2"]


@pytest.mark.parametrize(
    "arguments", [("--", "--all"), ("--a",), ("--al",), ("--", "-all"), ("no-1", "--al")]
)
def test_id_that_looks_like_an_option_never_means_all(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):
        assert main(["journal", "drop", *arguments]) == ExitCode.CONFIGURATION
    assert rejected(capsys) == ["no-1", "no-2"]


def test_body_shows_nothing_that_a_terminal_would_obey_or_hide(
    state: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    body = orjson.dumps({"output_data": {"model": "m\x9b\u202e\x7f"}})
    add_rejected(state, "odd", body)
    assert main(["journal", "show", "odd", "--body"]) == ExitCode.DRAINED
    shown = capfdbinary.readouterr().out
    assert orjson.loads(shown) == orjson.loads(body)
    assert is_plain(shown.decode().removesuffix("\n"))


@pytest.mark.parametrize("act", ["retry", "drop"])
def test_all_means_all_rejected_ones(act: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "2 reports" in lines(capsys, act, "--all")[0]
    assert rejected(capsys) == []
    assert any(line.startswith("waits\t") for line in lines(capsys, "list"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry", "waits"), "'waits': is ready"),
        (("drop", "no-1", "unknown"), "'unknown': not in the journal"),
        (("show", "unknown"), "'unknown': not in the journal"),
        (("show", "waits", "--body"), "no report yet"),
        (("retry",), "--all"),
        (("retry", "no-1", "--all"), "--all"),
    ],
)
def test_mistakes_are_one_clear_line_and_change_nothing(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", *arguments]) == ExitCode.CONFIGURATION
    assert said in capsys.readouterr().err
    assert rejected(capsys) == ["no-1", "no-2"]


def test_no_journal_is_a_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "elsewhere"))
    assert main(["journal", "list"]) == ExitCode.CONFIGURATION
    assert "there is no journal" in capsys.readouterr().err
