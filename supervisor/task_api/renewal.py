"""What the task API says when leases are renewed: which tasks are still ours."""

from dataclasses import dataclass

from supervisor.runtime.events import Event
from supervisor.task_api.http.exchange import Exchange, Response
from supervisor.task_api.optional import is_missing, json_body
from supervisor.task_api.responses import REFUSALS, Redact, ReportOutcome, classify_report
from supervisor.task_api.wire_formats import id_text


@dataclass(frozen=True, slots=True)
class RenewAnswer:
    """What a renewal came to. `began_at` is monotonic, from before the request."""

    began_at: float
    kept: frozenset[str] | None = None
    """The ids of the tasks that are still ours; None where the API did not say."""
    is_missing: bool = False
    """The API has no such operation."""
    is_refused: bool = False
    """The API has none as it is described: it answered, and would answer the same again."""
    detail: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LeasesAnswered(Event):
    """A renewal of the leases of these tasks was answered, or not."""

    task_ids: tuple[str, ...]
    answer: RenewAnswer


def classify_renewal(got: Exchange, url: str, redact: Redact) -> RenewAnswer:
    """What a request for longer leases came to."""
    call = classify_report(got, url, redact)
    if not isinstance(got, Response) or call.outcome is not ReportOutcome.DONE:
        return RenewAnswer(
            got.began_at,
            is_missing=is_missing(got),
            is_refused=call.outcome in REFUSALS,
            detail=call.detail,
            retry_after_seconds=call.retry_after_seconds,
        )
    kept = _ids(json_body(got))
    if kept is None:
        detail = f"status {got.status}: the answer is no list of ids"
        return RenewAnswer(got.began_at, is_refused=True, detail=detail)
    return RenewAnswer(got.began_at, kept)


def _ids(body: object) -> frozenset[str] | None:
    """None where it is not all ids: what cannot be read is not to pass for a task that is lost."""
    listed = body.get("ids") if isinstance(body, dict) else body
    if not isinstance(listed, list):
        return None
    ids = frozenset(map(id_text, listed))
    return None if "" in ids else ids
