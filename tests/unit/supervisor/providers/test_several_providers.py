"""Several providers: trouble of one holds up what goes to it, and nothing else."""

import itertools
from collections.abc import Mapping

import orjson
import pytest

from shared.errors import Blame, RetryReason
from shared.provider_accounts import ProviderFields
from supervisor.console.notices.notice import Severity
from supervisor.console.notices.summary import all_notices
from supervisor.providers.gate import PROBE_INTERVAL_SECONDS
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Idle, NotReady, ProviderStatus
from tests.builders import make_settings
from tests.fakes.harness import Harness, item

SERVER = ProviderFields(base_url="http://host/v1")
IDS = itertools.count()


def make_harness(**settings: object) -> Harness:
    """Models that begin with `a`, `b` or `c` go to the provider of that name; `ab` may go to b as well."""
    routes = {"ab": ("a", "b"), "a*": ("a",), "b*": ("b",), "c*": ("c",)}
    fields = {"a": SERVER, "b": SERVER, "c": SERVER}
    harness = Harness(
        make_settings(providers=fields, model_routes=routes, **{"polling_interval_seconds": 1.0, **settings})
    )
    harness.start_workers()
    return harness


def add(harness: Harness, *models: str) -> None:
    """A task for each of the models."""
    ids = [f"t{next(IDS)}" for _ in models]
    tasks = [
        item(task_id, input_data={"text": task_id, "model": model})
        for task_id, model in zip(ids, models, strict=True)
    ]
    while not harness.poller.requests:
        harness.pass_time(1.0)
    harness.list_tasks(*tasks)


def units(harness: Harness) -> dict[str, list[int]]:
    """The slots that hold units, by provider."""
    found: dict[str, list[int]] = {}
    for slot, unit in harness.held.items():
        found.setdefault(unit.provider, []).append(slot)
    return found


def slot_of(harness: Harness, provider: str) -> int:
    (slot,) = units(harness)[provider]
    return slot


def provider_of(harness: Harness, name: str) -> ProviderStatus:
    return next(each for each in harness.status.providers if each.name == name)


def break_down(harness: Harness, provider: str, reason: RetryReason) -> None:
    """One unit of the provider fails so; with a breaker that opens at once, it is closed afterwards."""
    harness.fail(slot_of(harness, provider), f"{provider} is broken", retry=reason, retry_after_seconds=30.0)


REASONS: Mapping[RetryReason, Idle] = {
    RetryReason.UNAUTHORIZED: Idle.PROVIDER_HOLD,
    RetryReason.UNUSABLE: Idle.PROVIDER_HOLD,
    RetryReason.RATE_LIMIT: Idle.RATE_LIMITED,
    RetryReason.CONNECTION: Idle.PROVIDER_CIRCUIT_OPEN,
}


@pytest.mark.parametrize("reason", REASONS)
def test_trouble_of_one_provider_holds_up_no_other(reason: RetryReason) -> None:
    harness = make_harness(circuit_breaker_threshold=1)
    add(harness, "a1", "b1")
    break_down(harness, "a", reason)
    add(harness, "a1", "a2", "b1", "b2", "c1")
    assert units(harness).keys() == {"b", "c"}
    assert provider_of(harness, "a").blocked is REASONS[reason]
    assert provider_of(harness, "a").waiting == 3
    assert (provider_of(harness, "b").blocked, provider_of(harness, "c").blocked) == (None, None)


@pytest.mark.parametrize("reason", REASONS)
def test_success_of_one_provider_ends_the_trouble_of_no_other(reason: RetryReason) -> None:
    harness = make_harness(circuit_breaker_threshold=1)
    add(harness, "a1", "b1")
    break_down(harness, "a", reason)
    harness.finish(slot_of(harness, "b"))
    assert provider_of(harness, "a").blocked is REASONS[reason]
    assert "a" not in units(harness)


def test_provider_that_is_probed_gets_one_task_and_the_others_all_other_slots() -> None:
    harness = make_harness()
    add(harness, "a1")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    add(harness, *["a1"] * 9)
    harness.pass_time(PROBE_INTERVAL_SECONDS)
    add(harness, *["b1"] * 40)
    held = units(harness)
    assert [len(harness.held[slot].tasks) for slot in held["a"]] == [1]
    assert [len(harness.held[slot].tasks) for slot in held["b"]] == [10, 10, 10, 10]


def test_closed_provider_takes_no_share_of_the_slots() -> None:
    harness = make_harness()
    add(harness, "a1")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    add(harness, "a2", "a3", *["b1"] * 10)
    assert [len(harness.held[slot].tasks) for slot in units(harness)["b"]] == [2] * 5


def test_stand_in_serves_a_model_only_while_the_first_provider_is_closed() -> None:
    harness = make_harness(concurrency_limit=1)
    add(harness, "ab")
    assert units(harness).keys() == {"a"}
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    assert units(harness).keys() == {"b"}
    harness.finish(0)
    add(harness, "ab", "a1")
    assert units(harness).keys() == {"b"}
    harness.finish(0)
    harness.pass_time(PROBE_INTERVAL_SECONDS)
    harness.finish(slot_of(harness, "a"))
    add(harness, "ab")
    assert units(harness).keys() == {"a"}


def test_stand_in_serves_what_the_first_provider_has_no_model_for() -> None:
    harness = make_harness(concurrency_limit=1)
    add(harness, "ab")
    harness.fail(0, "nothing there", blame=Blame.MODEL_OR_ADDRESS)
    assert units(harness).keys() == {"b"}
    harness.finish(0)
    assert orjson.loads(harness.answer().body)["status"] == "succeeded"


def test_canary_goes_to_the_provider_whose_answer_is_in_doubt() -> None:
    harness = make_harness(concurrency_limit=2)
    add(harness, "b1")
    harness.finish(0)
    add(harness, "a1")
    harness.fail(slot_of(harness, "a"), "bad input")
    (unit,) = harness.held.values()
    assert (unit.provider, unit.tasks[0].id.startswith("canary-")) == ("a", True)


def test_task_that_waits_for_a_canary_goes_to_the_stand_in_while_its_provider_is_on_hold() -> None:
    harness = make_harness(concurrency_limit=2)
    add(harness, "ab", "a1")
    asked, other = sorted(units(harness)["a"], key=lambda slot: harness.held[slot].key.model != "ab")
    harness.fail(other, "no", retry=RetryReason.UNAUTHORIZED)
    harness.fail(asked, "bad input")
    harness.turn()
    assert units(harness).keys() == {"b"}


def test_model_of_one_name_is_learned_of_each_provider_apart() -> None:
    harness = make_harness(concurrency_limit=1)
    add(harness, "ab")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    harness.finish(0)
    learned = {(row.provider, row.model): row.seconds_an_input for row in harness.status.learned.models}
    assert {("a", "ab"), ("b", "ab")} == learned.keys()


def test_ceiling_of_one_provider_holds_for_it_alone() -> None:
    limited = ProviderFields(base_url="http://host/v1", requests_per_minute=1)
    settings = make_settings(
        providers={"a": limited, "b": SERVER}, model_routes={"a*": ("a",), "b*": ("b",)}, concurrency_limit=1
    )
    harness = Harness(settings)
    harness.start_workers()
    for model in ("a1", "b1"):
        harness.list_tasks(item(model, input_data={"text": "text", "model": model}))
        harness.finish(0)
        harness.pass_time(5.0)
    harness.list_tasks(
        *(item(f"{model} again", input_data={"text": "x", "model": model}) for model in ("a1", "b1"))
    )
    assert units(harness).keys() == {"b"}
    harness.finish(0)
    assert (harness.status.idle, harness.status.provider.name) == (Idle.RATE_LIMITED, "a")
    assert {(row.provider, row.limit) for row in harness.status.rate_limits} == {("a", 1)}


def test_work_that_goes_on_elsewhere_is_not_idle_and_the_hold_is_told() -> None:
    harness = make_harness()
    add(harness, "a1", "b1")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    status = harness.status
    assert status.idle is None
    headline, *notices = all_notices(status)
    assert headline.title == "Working on 1 task in 1 worker"
    (notice,) = notices
    assert (notice.severity, headline.severity) == (Severity.ALARM, Severity.ALARM)
    assert notice.title == "Provider a on hold: the key is not accepted"
    assert "Check PROVIDERS__A__API_KEY." in notice.text


def test_idle_reason_is_what_the_waiting_tasks_wait_for() -> None:
    harness = make_harness(circuit_breaker_threshold=1)
    add(harness, "a1", "b1")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    harness.finish(slot_of(harness, "b"))
    assert (harness.status.idle, harness.status.provider.name) == (Idle.PROVIDER_HOLD, "a")
    assert harness.status.wait_seconds == pytest.approx(PROBE_INTERVAL_SECONDS, abs=2.0)
    assert NotReady.PROVIDER_HOLD in harness.status.not_ready


def test_hold_that_no_task_waits_for_is_no_reason_to_be_idle_or_not_ready() -> None:
    harness = make_harness()
    add(harness, "ab")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    harness.finish(slot_of(harness, "b"))
    status = harness.status
    assert status.idle is Idle.NO_WORK
    assert NotReady.PROVIDER_HOLD not in status.not_ready
    assert [hold.provider for hold in status.holds] == ["a"]


def test_breakers_are_named_after_their_providers() -> None:
    harness = make_harness(circuit_breaker_threshold=1)
    add(harness, "b1")
    break_down(harness, "b", RetryReason.CONNECTION)
    states = {row.service: row.state for row in harness.status.breakers}
    assert states.pop("b") is BreakerState.OPEN
    assert set(states.values()) == {BreakerState.CLOSED}
    assert states.keys() == {"api", "openai", "a", "c"}


def test_failure_of_a_unit_counts_at_the_provider_it_went_to() -> None:
    harness = make_harness()
    add(harness, "ab")
    break_down(harness, "a", RetryReason.UNAUTHORIZED)
    harness.fail(slot_of(harness, "b"), "busy", retry=RetryReason.SERVER_ERROR)
    troubles = {row.service: (row.reason, row.setting) for row in harness.status.troubles}
    assert troubles == {
        "a": ("unauthorized", "PROVIDERS__A__API_KEY"),
        "b": ("server_error", ""),
    }


def test_tasks_of_a_provider_on_hold_do_not_take_all_the_room() -> None:
    """The API has 120 tasks for `a` and as many for `b`; the service has room for 100."""
    harness = make_harness(concurrency_limit=2, batch_max_tasks=1)
    listed = {
        f"{model}{n}": item(f"{model}{n}", input_data={"text": f"{model}{n}", "model": model})
        for n in range(120)
        for model in "ab"
    }

    def poll() -> None:
        if harness.poller.requests:
            harness.list_tasks(*itertools.islice(listed.values(), harness.poller.limits[0]))

    poll()
    turns = 0
    while any(task_id.startswith("b") for task_id in listed):
        turns += 1
        assert turns < 200, "the tasks for b wait"
        for slot, unit in harness.held.items():
            if unit.provider == "a":
                harness.fail(slot, retry=RetryReason.UNAUTHORIZED)
            else:
                harness.finish(slot)
        for job in harness.answer_all():
            del listed[job.task_id]
        harness.pass_time(1.0)
        poll()
    assert provider_of(harness, "a").waiting <= 51
