"""The tables of the scenarios."""

from collections.abc import Sequence

from benchmarks.bulk import Memory
from benchmarks.contenders import Contender
from benchmarks.figures import Cell, markdown_table, median_of, median_ratio
from benchmarks.fleet import Fleet, Way
from benchmarks.limits import Limits
from benchmarks.load import Load
from benchmarks.pickup import Pickup
from benchmarks.rest import Rest
from benchmarks.simulated_fleet import Simulated

LOAD_HEAD = (
    "contender",
    "tasks/s",
    "x pool",
    "x floor",
    "CPU ms/task",
    "CPU x pool",
    "CPU x floor",
    "peak PSS MB",
    "calls",
    "in flight",
    "paid twice",
    "bad",
    "repeated",
    "failed",
)
PICKUP_HEAD = ("contender", "way", "tasks", "p50 ms", "p95 ms", "polls", "bad")
LIMITS_HEAD = ("contender", "minutes", "% of tokens", "% of 429", "calls", "429", "failed", "paid twice")
SCALE_HEAD = (
    "contender",
    "tasks",
    "CPU ms/task",
    "x smallest",
    "tasks/s",
    "peak PSS MB",
    "bad",
    "paid twice",
)

REST_HEAD = ("contender", "first poll s", "slot again s", "idle CPU %", "PSS MB", "MB a worker")
FLEET_HEAD = (
    "way",
    "replicas",
    "tasks/s",
    "polls/task",
    "claims/task",
    "reports/task",
    "API CPU ms/task",
    "lost claims",
    "repeated",
    "paid twice",
)
SIMULATED_HEAD = (
    "way",
    "replicas",
    "tasks",
    "polls/task",
    "listed/task",
    "claims/task",
    "reports/task",
    "lost claims",
    "repeated",
)
MEMORY_HEAD = ("contender", "much of", "reported", "peak MB", "bad", "paid twice", "repeated")


def load_table(runs: Sequence[Load]) -> str:
    """Medians of each contender, with ratios to the thread pool and the floor; of faults, the most."""
    by_contender = {one: [run for run in runs if run.contender is one] for one in Contender}
    pool, floor = by_contender[Contender.THREAD_POOL], by_contender[Contender.FLOOR]
    return markdown_table(LOAD_HEAD, [_load_row(mine, pool, floor) for mine in by_contender.values() if mine])


def _load_row(runs: Sequence[Load], pool: Sequence[Load], floor: Sequence[Load]) -> list[Cell]:
    return [
        runs[0].contender.value,
        median_of(runs, lambda run: run.tasks_per_second),
        median_ratio(runs, pool, lambda run: run.tasks_per_second),
        median_ratio(runs, floor, lambda run: run.tasks_per_second),
        median_of(runs, lambda run: run.cpu_ms_a_task),
        median_ratio(runs, pool, lambda run: run.cpu_ms_a_task),
        median_ratio(runs, floor, lambda run: run.cpu_ms_a_task),
        median_of(runs, lambda run: run.peak_pss_mb),
        round(median_of(runs, lambda run: run.provider_calls)),
        max(run.max_in_flight for run in runs),
        max(run.paid_twice for run in runs),
        max(run.bad_vectors for run in runs),
        max(run.repeated for run in runs),
        max(run.failed for run in runs),
    ]


def pickup_table(runs: Sequence[Pickup]) -> str:
    """Medians of the repeats of each contender and way."""
    groups: dict[tuple[str, str], list[Pickup]] = {}
    for run in runs:
        groups.setdefault((run.contender.value, run.way.value), []).append(run)
    rows: list[list[Cell]] = [
        [
            *names,
            mine[0].tasks,
            median_of(mine, lambda run: run.p50_ms),
            median_of(mine, lambda run: run.p95_ms),
            round(median_of(mine, lambda run: run.polls)),
            max(run.bad_vectors for run in mine),
        ]
        for names, mine in groups.items()
    ]
    return markdown_table(PICKUP_HEAD, rows)


def limits_table(runs: Sequence[Limits]) -> str:
    """One line a run."""
    rows: list[list[Cell]] = [
        [
            run.contender.value,
            run.minutes,
            100 * run.share_of_tokens,
            100 * run.share_refused,
            run.calls,
            run.refused,
            run.failed,
            run.paid_twice,
        ]
        for run in runs
    ]
    return markdown_table(LIMITS_HEAD, rows)


def scale_table(runs: Sequence[Load]) -> str:
    """Medians of each contender and size, beside the contender's smallest."""
    groups: dict[tuple[Contender, int], list[Load]] = {}
    for run in sorted(runs, key=lambda run: (run.contender, run.tasks)):
        groups.setdefault((run.contender, run.tasks), []).append(run)
    smallest: dict[Contender, list[Load]] = {}
    rows: list[list[Cell]] = []
    for (contender, tasks), mine in groups.items():
        first = smallest.setdefault(contender, mine)
        rows.append(
            [
                contender.value,
                tasks,
                median_of(mine, lambda run: run.cpu_ms_a_task),
                median_ratio(mine, first, lambda run: run.cpu_ms_a_task),
                median_of(mine, lambda run: run.tasks_per_second),
                median_of(mine, lambda run: run.peak_pss_mb),
                max(run.bad_vectors for run in mine),
                max(run.paid_twice for run in mine),
            ]
        )
    return markdown_table(SCALE_HEAD, rows)


def rest_table(runs: Sequence[Rest]) -> str:
    """One line of medians."""
    row: list[Cell] = [
        runs[0].contender.value,
        median_of(runs, lambda run: run.first_poll_seconds),
        median_of(runs, lambda run: run.ready_again_seconds),
        median_of(runs, lambda run: run.cpu_percent),
        median_of(runs, lambda run: run.pss_mb),
        median_of(runs, lambda run: run.pss_mb_a_worker),
    ]
    return markdown_table(REST_HEAD, [row])


def memory_table(runs: Sequence[Memory]) -> str:
    """One line a run."""
    rows: list[list[Cell]] = [
        [
            run.contender.value,
            run.bulk.value,
            run.reported,
            run.peak_supervisor_mb,
            run.bad_vectors,
            run.paid_twice,
            run.repeated,
        ]
        for run in runs
    ]
    return markdown_table(MEMORY_HEAD, rows)


def fleet_table(runs: Sequence[Fleet]) -> str:
    """Medians of each way and number of replicas; of faults, the most."""
    groups: dict[tuple[Way, int], list[Fleet]] = {}
    for run in runs:
        groups.setdefault((run.way, run.replicas), []).append(run)
    rows: list[list[Cell]] = [
        [
            way.value,
            replicas,
            median_of(mine, lambda run: run.tasks_per_second),
            median_of(mine, lambda run: run.polls_a_task),
            median_of(mine, lambda run: run.claims_a_task),
            median_of(mine, lambda run: run.reports_a_task),
            median_of(mine, lambda run: run.api_cpu_ms_a_task),
            round(median_of(mine, lambda run: run.lost_claims)),
            max(run.repeated for run in mine),
            max(run.paid_twice for run in mine),
        ]
        for (way, replicas), mine in groups.items()
    ]
    return markdown_table(FLEET_HEAD, rows)


def simulated_table(runs: Sequence[Simulated]) -> str:
    """One line a run: in simulated time each is like the others."""
    rows: list[list[Cell]] = [
        [
            run.way.value,
            run.replicas,
            run.tasks,
            run.polls_a_task,
            run.listed_a_task,
            run.claims_a_task,
            run.reports_a_task,
            run.lost_claims,
            run.repeated,
        ]
        for run in runs
    ]
    return markdown_table(SIMULATED_HEAD, rows)
