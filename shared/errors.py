"""Two kinds of error, by what the supervisor does next. Each is raised once, at the edge that saw it."""

from enum import StrEnum

from shared.models import NOTHING_BILLED, Usage


class RetryReason(StrEnum):
    """Why a unit did not get its answer, though nothing is wrong with its tasks."""

    CONNECTION = "connection"
    """Nothing was sent: no address, no connection, no TLS, a proxy that refuses, a header that cannot go."""
    DISCONNECTED = "disconnected"
    """The request was sent, and the connection ended before the whole answer came."""
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    BAD_RESPONSE = "bad_response"
    RATE_LIMIT = "rate_limit"
    UNAUTHORIZED = "unauthorized"
    QUOTA = "quota"
    WRONG_URL = "wrong_url"
    REFUSED = "refused"
    """The provider refuses whatever it is asked, a question with a known answer included."""
    UNUSABLE = "unusable"
    """The provider cannot be used as it is configured: its plug-in does not load, or a setting is missing."""
    NOT_STARTED = "not_started"
    """The processor could not be loaded or started in the worker."""
    CRASH = "crash"


HOLD_REASONS = frozenset(
    {
        RetryReason.UNAUTHORIZED,
        RetryReason.QUOTA,
        RetryReason.WRONG_URL,
        RetryReason.REFUSED,
        RetryReason.UNUSABLE,
    }
)
"""The provider as a whole refuses us: waiting will not help, a person will."""


class Blame(StrEnum):
    """Whose fault a final error is."""

    SOME_TASKS = "some_tasks"
    """At least one task of the unit is bad; which one shows when the unit is split."""
    WHOLE_UNIT = "whole_unit"
    """What the unit's tasks share (their model) is refused: no split will help."""
    PROCESSOR = "processor"
    """Our own code failed on the input; no provider said anything."""
    MODEL_OR_ADDRESS = "model_or_address"
    """Nothing is there, and the provider does not say what: the model if others are served, else the API."""
    ANSWER = "answer"
    """The provider served the call, and the answer is no result: cut off, a refusal, not as asked."""


RAISE_PROCESS_LIMIT = (
    "raise the limits of processes and memory (ulimit -u, TasksMax=, those of the container)"
    " or lower CONCURRENCY_LIMIT"
)
"""What to do where the system starts no further process or thread."""


class ConfigurationError(Exception):
    """The service cannot start as it is configured. Each of `faults` tells a person one thing to mend."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class TaskError(Exception):
    """Base of both kinds. The message goes to the task API and must help a person act."""


class RetryableError(TaskError):
    """Nothing is wrong with the task: the same call may succeed later.

    `retry_after_seconds` is what the provider asked for, if it did. `one_by_one` says that the provider can
    be asked for one input a call only.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: RetryReason,
        retry_after_seconds: float | None = None,
        one_by_one: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = RetryReason(reason)
        self.retry_after_seconds = retry_after_seconds
        self.one_by_one = one_by_one


class NonRetryableError(TaskError):
    """The same call would fail again. `usage` is what was billed all the same."""

    def __init__(
        self, message: str, *, blame: Blame = Blame.SOME_TASKS, usage: Usage = NOTHING_BILLED
    ) -> None:
        super().__init__(message)
        self.blame = blame
        self.usage = usage


class InputTooLongError(NonRetryableError):
    """The input is more than its model takes."""
