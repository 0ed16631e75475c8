"""The optional endpoints: many tasks in one call. Each is a blueprint of its own, to be left out."""

from enum import StrEnum

from flask import Blueprint, Response, abort, request

from examples.task_api.request import claimant, known_claimant, limit, refusal, reply, store, wait_seconds
from examples.task_api.task import Report
from examples.task_api.wire import InvalidBodyError, id_of, parse_ids, parse_json, parse_report, to_wire


class Operation(StrEnum):
    """What an API may offer beside the required."""

    CLAIM = "claim"
    RENEW = "renew"
    BULK_REPORTS = "bulk_reports"


ALL_OPERATIONS = frozenset(Operation)
BLUEPRINTS = {operation: Blueprint(operation, __name__) for operation in Operation}


@BLUEPRINTS[Operation.CLAIM].post("/api/ai-tasks/claim")
def claim_tasks() -> Response:
    return reply([to_wire(task) for task in store().claim(known_claimant(), limit(), wait_seconds())])


@BLUEPRINTS[Operation.RENEW].post("/api/ai-tasks/renew")
def renew_claims() -> Response:
    owner = known_claimant()
    if owner.lease_seconds is None:
        abort(400, "send 'X-Lease-Seconds'")
    return reply({"ids": store().renew(owner, parse_ids(parse_json(request.get_data())))})


@BLUEPRINTS[Operation.BULK_REPORTS].patch("/api/ai-tasks")
def update_tasks() -> Response:
    body = parse_json(request.get_data())
    if not isinstance(body, list):
        raise InvalidBodyError("expected a JSON list of reports")
    items = [_read(item) for item in body]
    reports = [item for item in items if isinstance(item, Report)]
    outcomes = iter(store().change(reports, claimant()))
    answers = []
    for item in items:
        if isinstance(item, Report):
            status, error = refusal(item, next(outcomes)) or (200, None)
            answers.append(_answer(item.task_id, status, error))
        else:
            answers.append(item)
    return reply(answers, 207)


def _read(item: object) -> Report | dict[str, object]:
    """The report, or the answer to an item that is none."""
    try:
        return parse_report(item)
    except InvalidBodyError as error:
        return _answer(id_of(item), 400, str(error))


def _answer(task_id: str | None, status: int, error: str | None) -> dict[str, object]:
    answer: dict[str, object] = {"id": task_id, "status": status}
    return answer if error is None else answer | {"error": error}
