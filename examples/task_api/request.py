"""What a request asks for, and how it is answered: what all endpoints share."""

import math
import re
from typing import cast

import orjson
from flask import Response, abort, current_app, request

from examples.task_api.store import Outcome, Store
from examples.task_api.task import Claimant, Report, State, Verdict

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000
LIMIT_DIGITS = 9
"""So many are above the maximum, and more need not be read."""
WAIT_MAX_SECONDS = 30
PREFER_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\b", re.IGNORECASE)
WORKER_ID = re.compile("[!-~]{1,100}")


def limit() -> int:
    text = request.args.get("limit", str(LIMIT_DEFAULT))
    digits = text.lstrip("0")
    if not re.fullmatch("[0-9]+", digits):
        abort(400, "'limit' must be a whole number from 1")
    return min(int(digits[:LIMIT_DIGITS]), LIMIT_MAX)


def wait_seconds() -> float:
    """How long the client would like to wait. A bad `Prefer` is ignored, as its RFC wants it."""
    preferred = PREFER_WAIT.search(request.headers.get("Prefer", ""))
    text = request.args.get("wait", preferred[1] if preferred else "0")
    return min(_seconds("wait", text), WAIT_MAX_SECONDS)


def claimant() -> Claimant:
    worker_id, lease = request.headers.get("X-Worker-ID"), request.headers.get("X-Lease-Seconds")
    if worker_id is not None and not WORKER_ID.fullmatch(worker_id):
        abort(400, "'X-Worker-ID' must have 1 to 100 visible ASCII characters")
    return Claimant(worker_id, None if lease is None else _seconds("X-Lease-Seconds", lease))


def known_claimant() -> Claimant:
    """For what only a worker with a name can ask."""
    known = claimant()
    if known.worker_id is None:
        abort(400, "send 'X-Worker-ID' with a name of your own")
    return known


def refusal(report: Report, outcome: Outcome) -> tuple[int, str] | None:
    """Status and reason for a report that was not taken; None where it was."""
    shape, wanted = report.change.shape, report.change.state
    match outcome.verdict:
        case Verdict.UNKNOWN:
            return 404, "there is no such task"
        case Verdict.WRONG_SHAPE:
            return 400, f"this is a {outcome.shape} task, and the body is that of a {shape} task"
        case Verdict.CONFLICT if wanted is State.PENDING and outcome.state is State.PROCESSING:
            return 409, "another worker has the task"
        case Verdict.CONFLICT:
            return 409, f"the task is already {outcome.state}"
        case _:
            return None


def store() -> Store:
    return cast("Store", current_app.extensions["task_store"])


def reply(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        abort(400, f"'{name}' must be a number of seconds from 0")
    return seconds
