"""What a poll asks for, and what a poll or a report came to, in our own terms."""

from dataclasses import dataclass
from enum import StrEnum

from supervisor.task_api.wire_formats import Page

EMPTY_PAGE = Page()
TOO_MANY_REQUESTS = 429


class Health(StrEnum):
    """What an answer says of the API as a whole; the circuit breaker listens to this."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class PollResult(StrEnum):
    """The `result` label of `ai_polls_total`."""

    TASKS = "tasks"
    EMPTY = "empty"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    CLIENT_ERROR = "client_error"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    REDIRECT = "redirect"
    BAD_PAGE = "bad_page"
    FOREIGN = "foreign"
    """Something in front of the API answered in its place."""


PAGES = frozenset({PollResult.TASKS, PollResult.EMPTY})


class ReportOutcome(StrEnum):
    """The `outcome` label of `ai_reports_total`: what becomes of a report after one PATCH."""

    DONE = "done"
    GONE = "gone"
    REJECTED = "rejected"
    RETRY = "retry"
    FOREIGN = "foreign"
    """Something between us and the API answered in its place: a gateway, a firewall, a login page."""


@dataclass(frozen=True, slots=True)
class PollRequest:
    """What a poll asks for: up to `limit` tasks. The API may hold its answer for `wait_seconds`.

    Of the tasks in `sought`, the page says which are listed.
    """

    limit: int
    wait_seconds: float = 0.0
    sought: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Listed:
    """The size of a page, and how long it was in coming."""

    items: int
    page_bytes: int
    took_seconds: float


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """One poll: a page, or why there is none. `began_at` is monotonic, from before the request."""

    result: PollResult
    health: Health
    limit: int
    began_at: float
    took_seconds: float = 0.0
    page: Page = EMPTY_PAGE
    page_bytes: int = 0
    detail: str = ""
    retry_after_seconds: float | None = None
    too_much: bool = False
    """The limit may be more than the API can take."""

    @property
    def asks_for_less(self) -> bool:
        """Is a poll with a smaller limit the next thing to try?"""
        return self.result not in PAGES and self.too_much and self.limit > 1

    @property
    def listed(self) -> Listed:
        return Listed(self.page.items, self.page_bytes, self.took_seconds)


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What one PATCH came to. `began_at` is monotonic, from before the request."""

    outcome: ReportOutcome
    health: Health
    status: int | None = None
    detail: str = ""
    retry_after_seconds: float | None = None
    began_at: float = 0.0

    @property
    def refuses_any_report(self) -> bool:
        """Is the cause the same for other reports, as with a wrong token? A 429 asks for a slower pace."""
        no_fault = self.outcome is ReportOutcome.RETRY and self.health is Health.UNKNOWN
        return no_fault and self.status not in (None, TOO_MANY_REQUESTS)
