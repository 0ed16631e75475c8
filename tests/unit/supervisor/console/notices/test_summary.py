"""What the service says of itself in words."""

from dataclasses import replace

import pytest

from shared.errors import HOLD_REASONS, RetryReason
from supervisor.console.notices.notice import Notice, Severity, cause
from supervisor.console.notices.summary import all_notices
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.runtime.trouble import Trouble
from supervisor.status.status import (
    BreakerStatus,
    Bucket,
    DeathStatus,
    FailureStatus,
    Idle,
    NotReady,
    Phase,
    ProviderStatus,
    Status,
)
from supervisor.task_api.responses import PollResult
from tests.unit.supervisor.status.statuses import LOST_MODEL, QUOTA, WORKING, idle

REPORT_TROUBLE = Trouble(
    "api",
    "reports",
    "server_error",
    "status 503: overloaded",
    "http://api:8000",
    "",
    12,
    WORKING.at_seconds - 90,
    WORKING.at_seconds,
)


def headline(status: Status) -> Notice:
    return all_notices(status)[0]


def with_breaker(status: Status, service: str, phase: BreakerState) -> Status:
    rows = (replace(row, state=phase) if row.service == service else row for row in status.breakers)
    return replace(status, breakers=tuple(rows))


def test_working_service_says_on_what_and_complains_of_nothing() -> None:
    (told,) = all_notices(WORKING)
    assert told.severity is Severity.GOOD
    assert told.title == "Working on 100 tasks in 1 worker"
    assert told.text == "1,203 tasks wait; 42/s finished over the last minute."


@pytest.mark.parametrize("reason", list(Idle))
def test_every_reason_to_be_idle_has_a_sentence(reason: Idle) -> None:
    status = replace(
        idle(reason, wait_seconds=12.0),
        drain_seconds_left=9.0 if reason is Idle.DRAINING else None,
    )
    told = headline(status)
    assert told.title
    assert told.severity is not Severity.GOOD


def test_idle_for_want_of_work_is_calm_and_says_when_the_next_poll_is() -> None:
    status = replace(idle(Idle.NO_WORK), backlog=0)
    status = replace(status, poll=replace(status.poll, last_result="empty", next_in_seconds=12.0))
    told = headline(status)
    assert told == Notice(
        Severity.CALM,
        "Idle: there is no work",
        "The task API lists no pending task. The next poll is in 12 s.",
    )


def test_idle_once_all_is_done_does_not_say_that_nothing_was_listed() -> None:
    status = replace(idle(Idle.NO_WORK), backlog=0)
    assert headline(status).text.startswith("All that the task API listed is done.")


def test_hold_says_the_reason_the_providers_message_and_the_next_try() -> None:
    provider = ProviderStatus("openai", Idle.PROVIDER_HOLD, 41.0)
    told = headline(replace(idle(Idle.PROVIDER_HOLD), holds=(QUOTA,), provider=provider))
    assert told.severity is Severity.ALARM
    assert told.title == "Provider openai on hold: the quota is used up"
    assert "“You exceeded your current quota.”" in told.text
    assert "The next try is in 41 s." in told.text


def test_rate_limit_says_for_how_long() -> None:
    told = headline(idle(Idle.RATE_LIMITED, wait_seconds=12.0))
    assert told.title == "Rate-limited for 12 s"
    assert "1,203 tasks wait until the limits of openai allow more" in told.text


def test_rate_limit_is_told_also_while_units_are_still_out() -> None:
    provider = ProviderStatus("openai", Idle.RATE_LIMITED, 12.0)
    _, notice = all_notices(replace(WORKING, provider=provider, providers=(provider,)))
    assert notice.title == "Rate-limited for 12 s"


def test_full_disk_is_the_headline_also_while_tasks_are_in_hand() -> None:
    told = headline(replace(WORKING, not_ready=(NotReady.JOURNAL_UNWRITABLE,)))
    assert told.title.startswith("Disk:")


def test_open_circuit_of_the_api_says_until_when_and_that_results_are_safe() -> None:
    status = idle(Idle.API_CIRCUIT_OPEN)
    status = replace(status, breakers=(BreakerStatus("api", BreakerState.OPEN, 42.0), status.breakers[1]))
    told, *others = all_notices(status)
    assert told.title == "The task API does not answer"
    assert (
        told.text
        == "Its circuit breaker is open. The next try is in 42 s. 17 results wait safe in the journal."
    )
    assert not others


def test_drain_says_what_is_left_and_when_it_gives_up() -> None:
    told = headline(replace(WORKING, phase=Phase.DRAINING, drain_seconds_left=21.0))
    assert told.title == "Stopping"
    assert "100 tasks running, 17 results to report; it gives up in 21 s." in told.text


def test_pause_is_told_also_while_tasks_still_run() -> None:
    told = headline(replace(WORKING, phase=Phase.PAUSED))
    assert told.title == "Paused by SIGUSR1"
    assert "100 tasks still under way" in told.text


def test_full_disk_is_the_headline() -> None:
    told = headline(idle(Idle.JOURNAL_UNWRITABLE))
    assert told.title.startswith("Disk:")
    assert "STATE_DIR" in told.text


@pytest.mark.parametrize("result", [r for r in PollResult if r not in (PollResult.TASKS, PollResult.EMPTY)])
def test_idle_because_polls_fail_is_not_told_as_no_work(result: PollResult) -> None:
    status = replace(idle(Idle.POLLS_FAILING), poll=replace(WORKING.poll, last_result=result))
    told, *others = all_notices(status)
    assert told.title.startswith("The task API ")
    assert told.title != "The task API lists no tasks: polls fail", f"{result} has no words of its own"
    assert told.severity in (Severity.CAUTION, Severity.ALARM)
    assert not others


@pytest.mark.parametrize("reason", sorted(HOLD_REASONS))
def test_every_reason_of_a_hold_has_words(reason: RetryReason) -> None:
    told = headline(replace(idle(Idle.PROVIDER_HOLD), holds=(replace(QUOTA, reason=reason),)))
    assert told.title.startswith("Provider openai on hold: ")
    assert not told.title.endswith(f": {reason}"), f"{reason} has no words of its own"


@pytest.mark.parametrize(
    "reason",
    sorted(
        set(RetryReason) - HOLD_REASONS - {RetryReason.RATE_LIMIT, RetryReason.CRASH, RetryReason.NOT_STARTED}
    ),
)
def test_every_reason_for_an_open_circuit_of_the_provider_has_words(reason: RetryReason) -> None:
    trouble = replace(REPORT_TROUBLE, service="openai", calls="", reason=reason)
    told = headline(replace(idle(Idle.PROVIDER_CIRCUIT_OPEN), troubles=(trouble,)))
    assert told.title != "Provider openai does not answer as it should", f"{reason} has no words of its own"


def test_probe_under_way_does_not_hide_the_hold() -> None:
    assert headline(replace(WORKING, holds=(QUOTA,))).title.startswith("Provider openai on hold")


def test_work_goes_on_but_an_api_that_is_down_turns_the_light_red() -> None:
    told, trouble = all_notices(with_breaker(WORKING, "api", BreakerState.OPEN))
    assert told.title.startswith("Working on 100 tasks")
    assert told.severity is Severity.ALARM
    assert trouble.title == "The task API does not answer"


def test_silent_loop_is_the_headline_whatever_it_last_said() -> None:
    assert (
        headline(replace(WORKING, loop_silent_seconds=45.0)).title
        == "Stuck: the service has not moved for 45 s"
    )


def test_no_worker_says_how_the_last_one_died() -> None:
    death = DeathStatus(WORKING.at_seconds - 2, 3, 0, 0, "exited with code 1")
    told = headline(replace(idle(Idle.NO_WORKERS), not_ready=(NotReady.NO_WORKERS,), deaths=(death,)))
    assert told.severity is Severity.ALARM
    assert "The last one exited with code 1." in told.text


def test_rejected_reports_are_told_with_what_to_do() -> None:
    _, notice = all_notices(replace(WORKING, rejected=3))
    assert notice.title == "The task API has rejected 3 reports"
    assert "journal list --state rejected" in notice.text


def test_old_outbox_is_told() -> None:
    _, notice = all_notices(replace(WORKING, outbox_oldest_age_seconds=90.0))
    assert notice.title == "A result has waited 1 min 30 s to be reported"


def test_recent_death_is_told_and_an_old_one_is_not() -> None:
    death = DeathStatus(WORKING.at_seconds - 120, 1, 3, 100, "was killed by SIGKILL")
    _, notice = all_notices(replace(WORKING, deaths=(death,)))
    assert notice.title == "A worker died 2 min ago: it was killed by SIGKILL"
    assert notice.text == "It held 100 tasks, which run again."
    old = replace(death, at_seconds=WORKING.at_seconds - 3600)
    assert len(all_notices(replace(WORKING, deaths=(old,)))) == 1


def test_many_failures_are_told_with_the_last_reason() -> None:
    failure = FailureStatus(WORKING.at_seconds, 40, "t", "text-embedding", "no such model")
    total = Bucket(60, 40, 0.1, 0.2)
    status = replace(WORKING, activity=replace(WORKING.activity, total=total), failures=(failure,))
    _, notice = all_notices(status)
    assert notice.title == "40 of 100 tasks failed in the last 15 minutes"
    assert notice.text == "The last: no such model"


def test_alarms_come_before_the_rest() -> None:
    status = with_breaker(replace(WORKING, rejected=1), "api", BreakerState.HALF_OPEN)
    assert [notice.severity for notice in all_notices(status)[1:]] == [Severity.ALARM, Severity.CAUTION]


def test_model_on_hold_is_a_notice_while_others_are_worked_on() -> None:
    told, notice = all_notices(replace(WORKING, holds=(LOST_MODEL,)))
    assert told.title.startswith("Working on")
    assert told.severity is Severity.GOOD
    assert notice.severity is Severity.CAUTION
    assert notice.title == "Model embed-9 on hold: the provider has nothing there"
    assert notice.text == (
        "Of embed-9 it says “nothing at http://ai/v1 for embed-9” Refused 2 times since 23:58:30 UTC."
        " Check OPENAI_BASE_URL, and the model that the tasks ask for."
        " Its tasks wait; those of other models go on. The next try is in 30 s."
    )


def test_several_models_on_hold_are_one_notice() -> None:
    _, notice = all_notices(replace(WORKING, holds=(LOST_MODEL, replace(LOST_MODEL, model="embed-8"))))
    assert notice.title == "2 models on hold: the provider has nothing there"


def test_service_that_waits_for_held_models_alone_says_so_first() -> None:
    told, *others = all_notices(replace(idle(Idle.PROVIDER_HOLD), holds=(LOST_MODEL,)))
    assert told.title.startswith("Model embed-9 on hold")
    assert told.severity is Severity.ALARM
    assert not others


def test_slowed_reports_are_told_while_there_are_any() -> None:
    status = replace(WORKING, learned=replace(WORKING.learned, reports_per_second=12.0))
    _, notice = all_notices(status)
    assert notice.title == "Reports are slowed to 12/s"
    assert notice.text.endswith("17 results in the outbox.")
    assert len(all_notices(replace(status, outbox=0))) == 1


def test_old_outbox_says_why_reports_are_not_taken() -> None:
    status = replace(WORKING, outbox_oldest_age_seconds=90.0, troubles=(REPORT_TROUBLE,))
    _, notice = all_notices(status)
    assert notice.text == (
        "17 results in the outbox. Status 503: overloaded. At http://api:8000, 12 times since 23:58:30 UTC."
    )


def test_trouble_that_began_long_ago_has_its_date() -> None:
    trouble = replace(REPORT_TROUBLE, since_seconds=WORKING.at_seconds - 3 * 86_400)
    assert "12 times since 2025-12-29 00:00 UTC" in cause(trouble, WORKING)


def test_advice_is_given_where_the_words_do_not_give_it() -> None:
    trouble = replace(REPORT_TROUBLE, setting="API_TOKEN")
    assert cause(trouble, WORKING).endswith(" Check API_TOKEN.")
    trouble = replace(trouble, detail="status 401: check API_TOKEN")
    assert not cause(trouble, WORKING).endswith(" Check API_TOKEN.")
