"""A status to start from: a service that works well and has nothing to complain of."""

from dataclasses import replace

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.history import BUCKET_SECONDS, BUCKETS, EMPTY_BUCKET
from supervisor.status.status import (
    Activity,
    BreakerStatus,
    Bucket,
    HoldStatus,
    Idle,
    LearnedStatus,
    Phase,
    PollStatus,
    ProviderStatus,
    SlotState,
    Status,
    TaskTypeStatus,
    TokensStatus,
    WorkerStatus,
)

AT_SECONDS = 1_767_225_600.0

IDLE_WORKER = WorkerStatus(
    slot=0,
    state=SlotState.IDLE,
    seconds_in_state=3.0,
    pid=4711,
    tasks_held=0,
    units_held=0,
    model="",
    tasks_done=12,
    restarts=0,
    rss_bytes=120 * 2**20,
)
BUSY_WORKER = replace(
    IDLE_WORKER, slot=1, state=SlotState.BUSY, tasks_held=100, units_held=1, model="text-embedding-3-small"
)
QUOTA = HoldStatus("openai", "quota", "You exceeded your current quota.", "", 3, AT_SECONDS - 90, 41.0)
LOST_MODEL = HoldStatus(
    "openai", "wrong_url", "nothing at http://ai/v1 for embed-9", "embed-9", 2, AT_SECONDS - 90, 30.0
)
BUSY_BUCKET = Bucket(succeeded=420, failed=2, median_seconds=0.4, p95_seconds=1.9)

OPEN_PROVIDER = ProviderStatus("openai", None, None, waiting=1203, in_flight=100)

WORKING = Status(
    version="1.2.3",
    at_seconds=AT_SECONDS,
    phase=Phase.RUNNING,
    uptime_seconds=7384.0,
    not_ready=(),
    idle=None,
    wait_seconds=None,
    drain_seconds_left=None,
    backlog=1203,
    in_flight=100,
    outbox=17,
    outbox_oldest_age_seconds=0.4,
    rejected=0,
    workers=(IDLE_WORKER, BUSY_WORKER),
    task_types=(
        TaskTypeStatus("text-embedding", 8, 1, None),
        TaskTypeStatus("text-generation", 12_345, 0, 20),
    ),
    breakers=(
        BreakerStatus("api", BreakerState.CLOSED, None),
        BreakerStatus("openai", BreakerState.CLOSED, None),
    ),
    holds=(),
    provider=OPEN_PROVIDER,
    providers=(OPEN_PROVIDER,),
    poll=PollStatus("tasks", AT_SECONDS - 0.8, 0.2, under_way=False),
    rate_limits=(),
    tokens=(TokensStatus("text-embedding-3-small", 36_000, 5_184_000),),
    activity=Activity(
        BUCKET_SECONDS,
        42.1,
        replace(BUSY_BUCKET, succeeded=840, failed=4),
        (*[EMPTY_BUCKET] * (BUCKETS - 2), BUSY_BUCKET, BUSY_BUCKET),
    ),
    failures=(),
    deaths=(),
    troubles=(),
    retry=None,
    learned=LearnedStatus(None, None, None, ()),
    loop_silent_seconds=0.0,
)


def idle(reason: Idle, wait_seconds: float | None = None) -> Status:
    """The same service, idle for `reason`."""
    phases = {
        Idle.STARTING: Phase.STARTING,
        Idle.PAUSED: Phase.PAUSED,
        Idle.DRAINING: Phase.DRAINING,
    }
    return replace(
        WORKING,
        phase=phases.get(reason, Phase.RUNNING),
        idle=reason,
        wait_seconds=wait_seconds,
        in_flight=0,
        workers=(IDLE_WORKER,),
        holds=(QUOTA,) if reason is Idle.PROVIDER_HOLD else (),
    )
