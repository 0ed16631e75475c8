"""Fleets: what is counted, and the replicas in simulated time."""

import pytest

from benchmarks.fleet import Call, Fleet, Way, calls_in
from benchmarks.reports import fleet_table, simulated_table
from benchmarks.simulated_fleet import run_simulation

ONE_BY_ONE = """
# TYPE api_requests_total counter
api_requests_total{endpoint="/api/ai-tasks/pending",method="GET",status_code="200"} 3.0
api_requests_total{endpoint="/api/ai-tasks/{id}",method="PATCH",status_code="200"} 20.0
api_requests_total{endpoint="/api/ai-tasks/{id}",method="PATCH",status_code="409"} 5.0
# TYPE ai_reports_total counter
ai_reports_total{outcome="done"} 10.0
"""
IN_BULK = """
# TYPE api_requests_total counter
api_requests_total{endpoint="/api/ai-tasks/claim",method="POST",status_code="200"} 3.0
api_requests_total{endpoint="/api/ai-tasks/renew",method="POST",status_code="200"} 1.0
api_requests_total{endpoint="/api/ai-tasks/{id}",method="PATCH",status_code="200"} 2.0
api_requests_total{endpoint="/api/ai-tasks",method="PATCH",status_code="207"} 4.0
# TYPE ai_reports_total counter
ai_reports_total{outcome="done"} 100.0
"""


def test_patches_that_are_no_reports_are_claims_where_each_task_is_claimed() -> None:
    calls = calls_in(ONE_BY_ONE, Way.EACH)
    assert calls == {Call.POLL: 3, Call.REPORT: 10, Call.CLAIM: 15, Call.LOST_CLAIM: 5}


def test_calls_for_many_tasks_are_counted_as_calls() -> None:
    calls = calls_in(IN_BULK, Way.BATCH)
    assert +calls == {Call.CLAIM: 3, Call.RENEWAL: 1, Call.REPORT: 6}


def test_table_has_the_median_of_the_runs_and_the_most_of_their_faults() -> None:
    runs = [
        Fleet(Way.EACH, 2, 100, speed, 0.1, 1.5, 1.0, 3.0, lost_claims=50, repeated=bad, paid_twice=0)
        for speed, bad in ((100.0, 0), (300.0, 1), (200.0, 0))
    ]
    row = fleet_table(runs).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("each", "2", "200", "0.10", "1.50", "1.00", "3.00", "50", "1", "0"),
    ]


def test_replicas_that_claim_report_each_task_once_and_lose_some_claims() -> None:
    run = run_simulation(Way.EACH, replicas=20, tasks_a_replica=4)
    assert run.claims_a_task * run.tasks == run.tasks + run.lost_claims
    assert run.lost_claims > 0
    assert (run.reports_a_task, run.repeated) == (1.0, 0)


def test_replicas_that_claim_pages_list_each_task_once() -> None:
    run = run_simulation(Way.BATCH, replicas=20, tasks_a_replica=4)
    assert (run.listed_a_task, run.polls_a_task, run.lost_claims, run.repeated) == (1.0, 0.0, 0, 0)
    assert run.reports_a_task < 1.0


@pytest.mark.parametrize("replicas", [1, 5])
def test_every_shard_lists_the_tasks_of_all(replicas: int) -> None:
    run = run_simulation(Way.SHARDS, replicas, tasks_a_replica=4)
    assert run.listed_a_task >= replicas
    assert (run.claims_a_task, run.reports_a_task, run.repeated) == (0.0, 1.0, 0)


def test_simulation_is_the_same_each_time() -> None:
    first, second = (simulated_table([run_simulation(Way.EACH, 5, 4)]) for _ in range(2))
    assert first == second
