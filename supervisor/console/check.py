"""Preflight: would the service start and reach what it needs? One line for each thing looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import requests

from shared.errors import ConfigurationError
from shared.loading import find_unknown_names, load_settings
from shared.models import Provider
from shared.settings import Settings
from supervisor.journal.state_directory import StateDirectory
from supervisor.runtime.exit_codes import ExitCode
from supervisor.task_api.endpoints import Endpoints
from workers.process.forkserver import check_socket_directory

DEFAULT_OPENAI_BASE_URL = "https://api.openai.com/v1"
LONGEST_PROBE_SECONDS = 10.0


class Mark(StrEnum):
    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the preflight: what was looked at, how it is, and what to do about it."""

    mark: Mark
    subject: str
    text: str


def run_check(say: Callable[[str], None] = print) -> ExitCode:
    """Look at everything, say a line each; CONFIGURATION if anything failed."""
    failed = False
    for finding in _findings():
        failed = failed or finding.mark is Mark.FAILED
        say(f"{finding.mark:8} {finding.subject}: {finding.text}")
    return ExitCode.CONFIGURATION if failed else ExitCode.DRAINED


def _findings() -> Iterator[Finding]:
    try:
        settings = load_settings()
    except ConfigurationError as error:
        for fault in error.faults:
            subject, _, text = fault.partition(": ")
            yield Finding(Mark.FAILED, subject, text)
        return
    yield Finding(Mark.OK, "settings", "complete and valid")
    yield from _unknown_names()
    yield from _advice(settings)
    yield from _socket_directory()
    yield _state_directory(settings)
    yield _task_api(settings)
    yield _provider(settings)


def _unknown_names() -> Iterator[Finding]:
    for unknown in find_unknown_names():
        if unknown.meant is None:
            yield Finding(Mark.NOTE, unknown.name, f"in {unknown.source} is no setting of this service")
        else:
            text = f"in {unknown.source} is no setting; did you mean {unknown.meant}?"
            yield Finding(Mark.WARNING, unknown.name, text)


def _advice(settings: Settings) -> Iterator[Finding]:
    if settings.task_timeout_seconds <= settings.openai_timeout:
        yield Finding(
            Mark.WARNING,
            "TASK_TIMEOUT_SECONDS",
            f"is not above OPENAI_TIMEOUT ({settings.openai_timeout:g} s): workers die in mid-call",
        )


def _socket_directory() -> Iterator[Finding]:
    try:
        check_socket_directory()
    except ConfigurationError as error:
        subject, _, text = str(error).partition(": ")
        yield Finding(Mark.FAILED, subject, text)


def _state_directory(settings: Settings) -> Finding:
    try:
        StateDirectory(settings.state_dir).close()
    except ConfigurationError as error:
        return Finding(Mark.FAILED, "STATE_DIR", str(error).removeprefix("STATE_DIR: "))
    return Finding(Mark.OK, "STATE_DIR", f"{settings.state_dir.absolute()} is writable and free")


def _task_api(settings: Settings) -> Finding:
    token = settings.api_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    url = Endpoints(settings.api_base_url, settings.api_pending_path).pending(1, 0.0)
    return _probe("task API", url, headers, settings.request_timeout, "API_BASE_URL", "API_TOKEN")


def _provider(settings: Settings) -> Finding:
    if settings.embedding_provider is Provider.LOCAL:
        return Finding(Mark.OK, "provider", "the embedded model needs no network")
    key = settings.openai_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    base = settings.openai_base_url or DEFAULT_OPENAI_BASE_URL
    timeout = settings.openai_timeout
    return _probe("provider", f"{base}/models", headers, timeout, "OPENAI_BASE_URL", "OPENAI_API_KEY")


def _probe(
    subject: str, url: str, headers: dict[str, str], timeout: float, address: str, secret: str
) -> Finding:
    session = requests.Session()
    session.trust_env = False  # a .netrc entry would replace the token that is to be tried
    try:
        with session.get(
            url,
            headers=headers,
            timeout=min(timeout, LONGEST_PROBE_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
    except requests.RequestException as error:
        return Finding(
            Mark.FAILED, subject, f"no answer from {url} ({type(error).__name__}); check {address}"
        )
    if status in (401, 403):
        return Finding(Mark.FAILED, subject, f"{url} answered {status}; check {secret}")
    if 200 <= status < 300:
        return Finding(Mark.OK, subject, f"{url} answered {status}")
    return Finding(Mark.FAILED, subject, f"{url} answered {status}; check {address}")
