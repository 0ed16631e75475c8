"""`check` and the service get the same of the same peers: what one can use, the other uses."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson
import pytest

from shared.settings import Settings
from supervisor.console.preflight.task_api import JournalTasks, look_at_task_api
from tests.acceptance.command import Outcome, run_command
from tests.acceptance.conftest import StartService
from tests.acceptance.scripted_api import PENDING, ScriptedApi, flat_task
from tests.acceptance.service import API_TOKEN, OPENAI_KEY, Json
from tests.builders import PROCESSORS
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.proxy import StubProxy
from tests.stubs.scripted_http import Answer, Request, ScriptedServer
from tests.stubs.tls import CA, server_context

TASKS = [flat_task("1", "swifts"), flat_task("2", "basalt")]
NO_PAGE = Answer(204)
Script = Callable[[Request], Answer]


class PageApi(ScriptedApi):
    """Lists the tasks that have no report yet, by `page`; where none is left, it answers `empty`."""

    def __init__(self, page: Callable[[Sequence[Json]], Answer], empty: Answer) -> None:
        super().__init__()
        self._page = page
        self._empty = empty

    def __call__(self, request: Request) -> Answer:
        if request.method != "GET":
            return super().__call__(request)
        left = [task for task in TASKS if task["id"] not in self.reports]
        return self._page(left) if left else self._empty

    @property
    def done(self) -> bool:
        return all(self.reports.get(str(task["id"])) for task in TASKS)


def limited(api: PageApi, most: int) -> Script:
    """Refuses a poll for more than `most` tasks, as FastAPI does with `Query(le=...)`."""

    def script(request: Request) -> Answer:
        limit = int(request.target.partition("limit=")[2]) if request.target.startswith(PENDING) else 0
        return Answer(422, b'{"detail":[{"msg":"too large"}]}') if limit > most else api(request)

    return script


def plain(tasks: Sequence[Json]) -> Answer:
    return Answer(200, orjson.dumps(tasks))


def under_results(tasks: Sequence[Json]) -> Answer:
    return Answer(200, orjson.dumps({"count": len(tasks), "next": None, "results": tasks}))


@pytest.fixture
def settings(provider: StubProvider, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("NO_PROXY", "*")
    return {
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": OPENAI_KEY,
        "API_TOKEN": API_TOKEN,
        "METRICS_PORT": "0",
        "CONCURRENCY_LIMIT": "1",
        "BATCH_MAX_TASKS": "512",
        "CIRCUIT_BREAKER_THRESHOLD": "1",
        "NO_PROXY": "none.example",
    }


def look(settings: Mapping[str, str]) -> dict[str, str]:
    """What check says of the task API, by subject."""
    given = Settings.model_validate({name.lower(): value for name, value in settings.items()})
    found = look_at_task_api(given, PROCESSORS, JournalTasks()).findings
    return {finding.subject: finding.text for finding in found}


def lines_of(outcome: Outcome, subject: str) -> list[str]:
    return [line for line in outcome.lines if line[9:].startswith(f"{subject}: ")]


@pytest.mark.parametrize(
    ("page", "empty", "most"),
    [
        pytest.param(under_results, NO_PAGE, 10**9, id="results-and-204"),
        pytest.param(plain, plain([]), 1000, id="limit", marks=pytest.mark.slow),
    ],
)
def test_an_api_that_check_can_use_gets_its_tasks_done(
    launch: StartService,
    settings: dict[str, str],
    page: Callable[[Sequence[Json]], Answer],
    empty: Answer,
    most: int,
) -> None:
    api = PageApi(page, empty)
    with ScriptedServer(limited(api, most)) as server:
        settings["API_BASE_URL"] = server.url
        findings = look(settings)
        assert "2 to be done" in findings["tasks"]
        assert ("limit" in findings) == (most == 1000)
        asked = [request.target for request in server.seen("GET")]
        launch(**settings)
        eventually(lambda: api.done, 20, "both tasks are done")
        asked_in_all = [request.target for request in server.seen("GET")]
        assert asked_in_all[: 2 * len(asked)] == [*asked, *asked]
        assert "none is pending" in look(settings)["tasks"]


@pytest.mark.slow
def test_a_ca_of_ones_own_is_trusted_by_both(launch: StartService, settings: dict[str, str]) -> None:
    api = PageApi(plain, NO_PAGE)
    with ScriptedServer(api, tls=server_context()) as server:
        settings |= {"API_BASE_URL": server.url, "API_CA_FILE": str(CA)}
        assert "2 to be done" in look(settings)["tasks"]
        launch(**settings)
        eventually(lambda: api.done, 20, "both tasks are done")


@pytest.mark.slow  # test_provider_network shows both ends
def test_a_provider_that_only_a_proxy_reaches_is_reached_by_both(
    tmp_path: Path, launch: StartService, settings: dict[str, str], provider: StubProvider
) -> None:
    api = PageApi(plain, NO_PAGE)
    with ScriptedServer(api) as server, StubProxy(aliases={"provider.example": provider.url}) as proxy:
        settings |= {
            "API_BASE_URL": server.url,
            "OPENAI_BASE_URL": "http://provider.example/v1",
            "HTTP_PROXY": f"http://{proxy.address}",
            "NO_PROXY": "127.0.0.1",
        }
        outcome = run_command(tmp_path, "check", **settings)
        assert outcome.exit_code == 0, outcome
        assert f"through the proxy http://{proxy.address}" in lines_of(outcome, "provider")[0]
        assert "proxy" not in lines_of(outcome, "task API")[0]
        launch(**settings)
        eventually(lambda: api.done, 20, "both tasks are done")


@pytest.mark.slow
def test_a_dead_proxy_is_dead_to_both(tmp_path: Path, launch: StartService, settings: dict[str, str]) -> None:
    with ScriptedServer(PageApi(plain, NO_PAGE)) as server:
        settings |= {"API_BASE_URL": server.url, "HTTP_PROXY": "http://127.0.0.1:9"}
        outcome = run_command(tmp_path, "check", **settings)
        assert outcome.exit_code == 2
        (line,) = lines_of(outcome, "task API")
        said = launch(**settings).wait_for_log("poll_failed")["detail"]
        assert said.partition(" after ")[0] in line, "the rest tells how many milliseconds it took"
        assert lines_of(outcome, "provider")[0].startswith("failed")
        assert server.requests == []
