"""What the rules draw from."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from shared.errors import Blame, RetryReason
from shared.messages import Failure
from supervisor.runtime.events import PauseRequested, ResumeRequested, StopRequested
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome

SLOTS = st.integers(0, 1)
WHICH = st.integers(0, 2)
"""Which of the units that a worker has."""
LATER = st.sampled_from([False, False, True])
"""Is the loop to see the event only together with those that follow?"""
WAITS = st.sampled_from([None, None, 0.5, 20.0])
FAILURES = st.one_of(
    st.builds(Failure, st.just("again"), st.sampled_from(RetryReason), WAITS),
    st.builds(Failure, st.just("never"), st.none(), st.none(), st.sampled_from(Blame)),
)
SIGNALS = [PauseRequested(), ResumeRequested(), ResumeRequested(), StopRequested()]
NOT_THE_API = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 404, "404 page not found")
"""A gateway answers in the API's place."""
ANSWERS = st.sampled_from(
    [
        None,
        None,
        None,
        NOT_THE_API,
        ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer"),
        ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "busy"),
        ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "too many", retry_after_seconds=20.0),
    ]
)
"""What a thread hears of its request; None for what the API really did."""
BULK_ANSWERS = st.sampled_from(
    [
        None,
        None,
        None,
        ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer"),
        ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "busy"),
        ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "too many", retry_after_seconds=20.0),
    ]
)
"""The same of a call with several reports."""
LIMITS = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(LIMITS, max_examples=1500)
