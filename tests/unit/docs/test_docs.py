"""What the documents say of the service's outside is what the code does, no more and no less."""

import re
import signal
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, StrEnum

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic.fields import FieldInfo

from shared.errors import HOLD_REASONS, RetryReason
from shared.logs import LogEvent
from shared.metrics import SupervisorMetrics, WorkerMetrics
from shared.models import TaskStatus
from supervisor.cli import main
from supervisor.console.gauges import StatusGauges
from supervisor.runtime.process import SIGNAL_EVENTS, ExitCode
from supervisor.status.status import Idle, NotReady, SlotState, StatusBoard
from supervisor.task_api.responses import PollResult, ReportOutcome
from supervisor.task_api.wire_formats import RefusalReason
from tests.builders import SETTINGS
from tests.unit.docs.markdown import ROOT, Document, documents
from tests.unit.supervisor.status.statuses import QUOTA, WORKING
from workers.providers.calls import CallStatus

README = Document.read("README.md")
OPERATIONS = Document.read("docs/operations.md")

NOT_SETTINGS = {"STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "SSL_CERT_FILE"}
"""Variables of others, which the documents name too."""

LABEL_VALUES: dict[tuple[str, str], Iterable[StrEnum]] = {
    ("status", "ai_tasks_processed_total"): (TaskStatus.SUCCEEDED, TaskStatus.FAILED),
    ("reason", "ai_task_retries_total"): RetryReason,
    ("reason", "ai_tasks_rejected_total"): RefusalReason,
    ("result", "ai_polls_total"): PollResult,
    ("outcome", "ai_reports_total"): ReportOutcome,
    ("state", "ai_workers"): SlotState,
    ("status", "openai_requests_total"): CallStatus,
    ("reason", "ai_provider_hold"): HOLD_REASONS,
}


def assert_same(documented: Iterable[str], actual: Iterable[str]) -> None:
    """Each name once, and no name on one side only."""
    listed = sorted(documented)
    assert listed == sorted(set(actual))


# --- Settings ---------------------------------------------------------------------------------------------


def setting_names() -> set[str]:
    return {name.upper() for kind in SETTINGS for name in kind.model_fields}


def test_every_setting_is_described_and_no_other() -> None:
    assert_same(OPERATIONS.names("setting"), setting_names())


def test_defaults_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    documented = {row.name: row.cells[1].strip("`") for row in OPERATIONS.rows("setting")}
    fields = {name: field for kind in SETTINGS for name, field in kind.model_fields.items()}
    assert documented == {name.upper(): default_of(name, field) for name, field in fields.items()}


def default_of(name: str, field: FieldInfo) -> str:
    if field.is_required() or name == "openai_api_key":
        return "required"
    default: object = field.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


@pytest.mark.parametrize("document", [README, OPERATIONS], ids=["README", "operations"])
def test_no_setting_is_named_that_does_not_exist(document: Document) -> None:
    named = {name for span in document.spans() for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", span)}
    assert named - NOT_SETTINGS <= setting_names()


# --- Metrics ----------------------------------------------------------------------------------------------


def exported() -> set[str]:
    """Every metric as the table writes it: `name{label,label}`, and its type."""
    holders = (SupervisorMetrics(CollectorRegistry()), WorkerMetrics())
    kept = [metric for holder in holders for metric in vars(holder).values()]
    lines = {
        f"{written(metric._name + '_total', metric._labelnames)} counter"
        if isinstance(metric, Counter)
        else f"{written(metric._name, metric._labelnames)} histogram"
        for metric in kept
        if isinstance(metric, Counter | Histogram)
    }
    board = StatusBoard()
    board.publish(replace(WORKING, holds=(QUOTA,)), 0.0)
    for family in StatusGauges(board).collect():
        lines.add(f"{written(family.name, family.samples[0].labels)} {family.type}")
    return lines


def written(name: str, labels: Iterable[str]) -> str:
    return f"{name}{{{','.join(labels)}}}" if list(labels) else name


def test_every_metric_is_described_with_its_labels_and_no_other() -> None:
    assert_same((f"{row.name} {row.cells[1]}" for row in OPERATIONS.rows("metric")), exported())


def test_label_values_are_those_of_the_code() -> None:
    documented = {tuple(row.spans(0)): sorted(row.spans(1)) for row in OPERATIONS.rows("label")}
    expected = {key: sorted(str(value) for value in values) for key, values in LABEL_VALUES.items()}
    # Written out in the code, so there is nothing to compare with.
    del documented["reason", "ai_worker_restarts_total"]
    assert documented == expected


# --- What it says and how it ends -------------------------------------------------------------------------


def test_every_log_event_is_explained_and_no_other() -> None:
    assert_same(OPERATIONS.names("event"), LogEvent)


def test_every_reason_to_be_idle_is_explained_with_whether_it_is_not_ready() -> None:
    reasons = OPERATIONS.rows("reason")
    assert_same((row.name for row in reasons), Idle)
    assert_same((row.name for row in reasons if row.cells[1] == "503"), NotReady)


def test_every_exit_code_is_explained_and_no_other() -> None:
    assert_same(OPERATIONS.names("code"), (str(code.value) for code in ExitCode))


def test_every_signal_is_explained_and_no_other() -> None:
    assert_same(OPERATIONS.names("signal"), (number.name for number in [*SIGNAL_EVENTS, signal.SIGQUIT]))


# --- Commands ---------------------------------------------------------------------------------------------


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> "Help":
    monkeypatch.setenv("COLUMNS", "200")
    return Help(capsys)


class Help:
    """What `run.py ... --help` prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        return self._capsys.readouterr().out

    def commands(self, *words: str) -> list[str]:
        return re.findall(r"^    ([a-z-]+)(?:  |$)", self(*words), re.MULTILINE)


def test_every_command_is_described_and_no_other(help_of: Help) -> None:
    assert_same(OPERATIONS.names("command"), help_of.commands())


def test_commands_and_options_in_the_documents_exist(help_of: Help) -> None:
    for line in (line for document in documents() for line in document.code()):
        for tail in re.findall(r"run\.py((?: [\w.-]+)+)", line):
            words = tail.split()
            if not words[0].islower() or words[0].startswith("-"):
                continue
            assert words[0] in help_of.commands(), line
            acts = [words[1]] if words[0] == "journal" and len(words) > 1 else []
            options = help_of(words[0], *acts)
            assert all(word in options for word in words if word.startswith("--")), line


def test_targets_of_make_in_the_documents_exist() -> None:
    files = (ROOT / "Makefile", ROOT / "deploy" / "targets.mk")
    rules = "\n".join(file.read_text(encoding="utf-8") for file in files)
    targets = set(re.findall(r"^([a-z-]+):", rules, re.MULTILINE))
    named = {
        target
        for document in documents()
        for line in document.code()
        for target in re.findall(r"^make (?:[A-Z]+=\S+ )?([a-z-]+)", line)
    }
    assert named <= targets
