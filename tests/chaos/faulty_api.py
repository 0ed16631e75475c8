"""The reference task API behind a layer of faults that answers badly, late or not at all."""

import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import orjson

from examples.task_api.app import create_app
from examples.task_api.store import Store
from examples.task_api.task import State, Task
from tests.chaos.ledger import Exchange, Ledger
from tests.chaos.odds import Odds
from tests.chaos.runs import run_and_path, run_url, whole
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request, ScriptedServer

FINAL_STATES = frozenset({"succeeded", "failed"})
COUNTED_STATUSES = frozenset({200, 409})
BULK_PATH = "/api/ai-tasks"
PASSED_ON = frozenset({"authorization", "content-type", "x-correlation-id", "x-worker-id", "x-lease-seconds"})


class ApiFault(StrEnum):
    """Before: the request is not carried out. After: it is, and the answer is kept back."""

    BUSY_BEFORE = "503 before"
    BUSY_AFTER = "503 after"
    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    SILENCE_BEFORE = "timeout before"
    SILENCE_AFTER = "timeout after"


_AFTER = frozenset({ApiFault.BUSY_AFTER, ApiFault.RESET_AFTER, ApiFault.SILENCE_AFTER})
THIRTY_PERCENT: Mapping[ApiFault, float] = {
    ApiFault.BUSY_BEFORE: 0.10,
    ApiFault.BUSY_AFTER: 0.05,
    ApiFault.RESET_BEFORE: 0.05,
    ApiFault.RESET_AFTER: 0.04,
    ApiFault.SILENCE_BEFORE: 0.03,
    ApiFault.SILENCE_AFTER: 0.03,
}


class FaultyApi:
    """Serves inside its `with`. Every final PATCH that was carried out stands in `ledger`."""

    def __init__(self, database: Path, token: str, odds: Odds[ApiFault], patience_seconds: float) -> None:
        """`patience_seconds` is the client's; silence lasts longer."""
        self._app = create_app(database, token)
        self.store = cast("Store", self._app.extensions["task_store"])
        self.ledger = Ledger()
        self.odds = odds
        self._silence_seconds = 1.5 * patience_seconds
        self._server = ScriptedServer(self._answer)

    def url(self, run: int) -> str:
        """For API_BASE_URL of the service's process number `run`."""
        return run_url(self._server.url, run)

    def final(self) -> int:
        """How many tasks have a final state."""
        states = self.store.summary().by_state
        return states[State.SUCCEEDED] + states[State.FAILED]

    def tasks(self) -> list[Task]:
        return self.store.newest(1_000_000)

    @property
    def requests(self) -> int:
        """How many came in."""
        return len(self._server.requests)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
        self.store.close()

    def _answer(self, request: Request) -> Answer:
        if not whole(request):
            return NO_ANSWER
        fault = self.odds.draw()
        if fault is not None and fault not in _AFTER:
            return self._withhold(fault)
        run, path = run_and_path(request.target)
        begun_at = time.monotonic()
        answer = self._carry_out(request, path)
        for task_id, state in _final_reports(request, path, answer):
            exchange = Exchange(run, request.client_port, (task_id,), state, begun_at)
            exchange.withheld = fault is not None
            exchange.ended_at = time.monotonic()
            self.ledger.exchanges.append(exchange)
        return answer if fault is None else self._withhold(fault)

    def _carry_out(self, request: Request, path: str) -> Answer:
        passed_on = {name: value for name, value in request.headers.items() if name in PASSED_ON}
        got = self._app.test_client().open(path, method=request.method, data=request.body, headers=passed_on)
        return Answer(got.status_code, got.data)

    def _withhold(self, fault: ApiFault) -> Answer:
        if fault in (ApiFault.BUSY_BEFORE, ApiFault.BUSY_AFTER):
            return Answer(503, b'{"error":"chaos"}')
        if fault in (ApiFault.RESET_BEFORE, ApiFault.RESET_AFTER):
            return Answer(0, ending=Ending.RESET)
        self._server.closing.wait(self._silence_seconds)
        return NO_ANSWER


def _final_reports(request: Request, path: str, answer: Answer) -> Iterator[tuple[str, str]]:
    """The tasks of the reports that were carried out, and the final state that each was given."""
    if request.method != "PATCH":
        return
    body = orjson.loads(request.body)
    if path == BULK_PATH:
        said = [item["status"] for item in orjson.loads(cast("bytes", answer.body))]
        reports = [(report["id"], report, status) for report, status in zip(body, said, strict=True)]
    else:
        reports = [(path.rpartition("/")[2], body, answer.status)]
    for task_id, report, status in reports:
        state = report.get("status") or report.get("state")
        if state in FINAL_STATES and status in COUNTED_STATUSES:
            yield task_id, state
