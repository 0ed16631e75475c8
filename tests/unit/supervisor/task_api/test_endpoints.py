"""Where the task API has its operations."""

from supervisor.task_api.client import Endpoints, route_of
from supervisor.task_api.responses import PollRequest


def test_limit_and_wait_are_added_to_the_query() -> None:
    plain = Endpoints("https://api.test/base")
    assert plain.page(PollRequest(5)) == "https://api.test/base/api/ai-tasks/pending?limit=5"
    assert plain.page(PollRequest(5, 20.0)) == "https://api.test/base/api/ai-tasks/pending?limit=5&wait=20"
    own = Endpoints("https://api.test", "/v2/jobs?status=pending", "/v2/jobs/{id}/result?x=1")
    assert own.page(PollRequest(5)) == "https://api.test/v2/jobs?status=pending&limit=5"


def test_id_is_one_segment_of_the_path() -> None:
    own = Endpoints("https://api.test", task_path="/v2/jobs/{id}/result?x=1")
    assert own.task("a/b?c#d {id}") == "https://api.test/v2/jobs/a%2Fb%3Fc%23d%20%7Bid%7D/result?x=1"


def test_routes_of_metrics_have_no_query() -> None:
    own = Endpoints("https://api.test", "/v2/jobs?key=secret", "/v2/jobs/{id}?key=secret")
    assert (route_of(own.pending_path), route_of(own.task_path)) == ("/v2/jobs", "/v2/jobs/{id}")


def test_operations_on_several_tasks_stand_beside_the_tasks() -> None:
    plain = Endpoints("https://api.test/base")
    assert plain.page(PollRequest(5, claims=True)) == "https://api.test/base/api/ai-tasks/claim?limit=5"
    assert (plain.renew_path, plain.bulk_path) == ("/api/ai-tasks/renew", "/api/ai-tasks")
    with_slash = Endpoints("https://api.test", task_path="/v2/jobs/{id}/?x=1")
    assert (with_slash.claim_path, with_slash.bulk_path) == ("/v2/jobs/claim/?x=1", "/v2/jobs/?x=1")
