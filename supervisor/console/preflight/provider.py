"""What the provider answers to one word, asked by a worker like the service's own."""

import queue
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from shared.errors import HOLD_REASONS, ConfigurationError, RetryReason
from shared.messages import Failure, Unit, UnitDone
from shared.models import BatchKey, Output
from shared.provider_accounts import LOCAL, ProviderAccount
from shared.routes import EMBEDDING_TYPE, Routes
from shared.settings import LogLevel, Settings
from supervisor.console.preflight.finding import Finding, Mark, faults_of
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.pool.choice import make_pool
from supervisor.providers.decision import CanaryAnswer, Decision, Facts, FailedUnit, decide
from supervisor.runtime.events import Event
from supervisor.tasks.outcomes import NO_OUTCOME, describe_death
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory

SUBJECT = "provider"
MAX_CALL_SECONDS = 10.0
START_SECONDS = 60.0
"""On a Ray cluster it takes some seconds."""
SLACK_SECONDS = 2.0
SLOT = 0

WHAT_FOLLOWS = {
    Decision.FAIL: "tasks for this model are FAILED with these words",
    Decision.HOLD_PROVIDER: "no task is FAILED; all wait until it takes one word again",
    Decision.HOLD_MODEL: "no task is FAILED; those for this model wait",
    Decision.RETRY: "no task is FAILED; all wait, and it is asked again until it answers",
}
HELD = "no task is FAILED; all wait, and it is asked once a minute"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the worker answered, or why there was none that could."""

    outcome: Output | Failure | None
    trouble: str = ""


def look_at_provider(
    settings: Settings, name: str, processors: ProcessorFactory, models: Counter[str]
) -> Finding:
    """Ask the provider one word, of the most wanted of `models` that it serves.

    They are the models that the tasks at the API ask for. Where it serves none of them, it is asked for the
    model of tasks that name none, or for one that a route names in full.
    """
    routes = Routes.from_settings(settings)
    keys = [BatchKey(EMBEDDING_TYPE, model) for model, _ in models.most_common()]
    named = (model for model in (routes.default_model(EMBEDDING_TYPE), *settings.model_routes) if model)
    wanted = _first_served(routes, name, keys)
    key = wanted or _first_served(routes, name, (BatchKey(EMBEDDING_TYPE, model) for model in named))
    subject = SUBJECT if len(settings.providers_in_use) == 1 else f"{SUBJECT} {name}"
    if key is None:
        return Finding(Mark.NOTE, subject, "not asked: no task at the API and no route names a model of it")
    try:
        answered = _ask(settings, name, processors, key)
    except ConfigurationError as error:
        return next(faults_of(error))
    except queue.Empty:
        return Finding(Mark.FAILED, subject, "the worker that was to ask it does not answer")
    outcome = answered.outcome
    if outcome is None:
        return Finding(Mark.FAILED, subject, f"{answered.trouble}; the service would not come up")
    if isinstance(outcome, Failure):
        return _refused(settings, subject, key, outcome, is_wanted=wanted is not None)
    return _served(settings.accounts[name], subject, outcome)


def _first_served(routes: Routes, name: str, keys: Iterable[BatchKey]) -> BatchKey | None:
    """The first of them that the provider serves, be it as a stand-in."""
    return next((key for key in keys if name in routes.serving(key) and not _is_pattern(key.model)), None)


def _is_pattern(model: str) -> bool:
    return any(mark in model for mark in "*?[")


def _ask(settings: Settings, name: str, processors: ProcessorFactory, key: BatchKey) -> Answered:
    """Raises ConfigurationError where workers cannot start, and queue.Empty where one does not answer."""
    timeout_seconds = min(settings.openai_timeout, MAX_CALL_SECONDS)
    hasty = settings.model_copy(update={"openai_timeout": timeout_seconds, "log_level": LogLevel.ERROR})
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as metrics:
        config = WorkerConfig.from_settings(hasty, processors.specs(), Path(metrics))
        pool = make_pool(settings, config, heard.put, slots=1)
        pool.start()
        try:
            started = heard.get(timeout=START_SECONDS)
            if isinstance(started, WorkerStarted):
                word = processors.canary(key, "")
                assert word is not None  # noqa: S101  embeddings have one
                pool.dispatch(SLOT, started.pid, Unit(1, (word,), key.model, name))
                return _read(_end_of_unit(heard, timeout_seconds + SLACK_SECONDS))
            return _read(started)
        finally:
            pool.close()


def _end_of_unit(heard: "queue.SimpleQueue[Event]", timeout_seconds: float) -> Event:
    """What ends the unit, with the outcomes that came before."""
    outcomes: dict[str, Output | Failure] = {}
    while isinstance(event := heard.get(timeout=timeout_seconds), UnitProgressed):
        outcomes.update(event.progress.outcomes)
    if not isinstance(event, UnitFinished):
        return event
    return replace(event, done=replace(event.done, outcomes={**event.done.outcomes, **outcomes}))


def _read(event: Event) -> Answered:
    if isinstance(event, UnitFinished):
        return Answered(_outcome(event.done))
    if isinstance(event, WorkerDied):
        death = describe_death(event.exit_code, timed_out_after_seconds=None, rss_bytes=0)
        return Answered(None, event.reason or f"the worker that was to ask it {death}")
    if isinstance(event, WorkersAwaited):
        return Answered(None, event.reason)
    return Answered(None, "the worker that was to ask it is lost")


def _outcome(done: UnitDone) -> Output | Failure:
    return next(iter(done.outcomes.values()), done.failure or NO_OUTCOME)


def _served(account: ProviderAccount, subject: str, output: Output) -> Finding:
    numbers = len(orjson.loads(output.value))
    if account.kind == LOCAL:
        return Finding(Mark.OK, subject, f"{output.model} embeds a word in {numbers} numbers, offline")
    tokens = output.usage.total_tokens
    cost = "one token" if tokens == 1 else f"{tokens:,} tokens"
    text = f"{_address(account)} embeds a word with {output.model} in {numbers:,} numbers (costs {cost})"
    return Finding(Mark.OK, subject, text)


def _refused(
    settings: Settings, subject: str, key: BatchKey, failure: Failure, *, is_wanted: bool
) -> Finding:
    canary = CanaryAnswer.REFUSED if failure.retry is None else CanaryAnswer.FAILED
    unit = FailedUnit(failure, inputs=1, setbacks=0, attempts=0)
    decision = decide(unit, Facts(canary=canary))
    follows = HELD if failure.retry in HOLD_REASONS else WHAT_FOLLOWS[decision]
    asked = f"asked for {key.model}"
    if failure.retry is RetryReason.TIMEOUT and settings.openai_timeout > MAX_CALL_SECONDS:
        asked += f"; the service waits for {settings.openai_timeout:g} s"
    text = f"{failure.message} ({asked}); {follows}"
    if failure.retry is RetryReason.RATE_LIMIT:
        return Finding(Mark.WARNING, subject, text)
    if decision is Decision.FAIL and not is_wanted:
        # It lets us in, and tasks may name other models.
        return Finding(Mark.WARNING, subject, f"{text}. This is the model of tasks that name none")
    return Finding(Mark.FAILED, subject, text)


def _address(account: ProviderAccount) -> str:
    # Heavy, and of no use where the model is embedded.
    from workers.providers.openai.http import ProviderHttp  # noqa: PLC0415

    url = account.address
    with ProviderHttp(MAX_CALL_SECONDS, time.monotonic) as http:
        proxy = http.proxy_of(url)
    return f"{url} through the proxy {proxy}" if proxy else url
