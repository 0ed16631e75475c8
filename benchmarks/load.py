"""A backlog worked off: tasks a second, CPU and memory, and whether all was right."""

from dataclasses import dataclass

from benchmarks.contenders import Contender
from benchmarks.course import Course, Pace, course

TEXT_CHARACTERS = 500
LIMIT_SECONDS = 60.0
LIMIT_SECONDS_A_TASK = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """One run. `paid_twice`, `bad_vectors`, `repeated` and `failed` are tasks, and should be 0."""

    contender: Contender
    tasks: int
    wall_seconds: float
    tasks_per_second: float
    cpu_ms_a_task: float
    peak_pss_mb: float
    provider_calls: int
    max_in_flight: int
    paid_twice: int
    bad_vectors: int
    repeated: int
    failed: int


def run_load(contender: Contender, pace: Pace, tasks: int) -> Load:
    """Seed `tasks` for a warm contender and see them all reported. RunFailedError if they are not."""
    with course(contender, pace) as running:
        running.warm_up()
        before = running.tree.cpu_seconds()
        running.api.post(f"seed?count={tasks}&characters={TEXT_CHARACTERS}")
        running.wait_until_settled(tasks, LIMIT_SECONDS + LIMIT_SECONDS_A_TASK * tasks)
        return _measured(contender, running, tasks, running.tree.cpu_seconds() - before)


def _measured(contender: Contender, running: Course, tasks: int, cpu_seconds: float) -> Load:
    reported, sold = running.api.get("stats"), running.provider.get("stats")
    wall_seconds = reported["last_final_at"] - reported["first_work_at"]
    return Load(
        contender=contender,
        tasks=tasks,
        wall_seconds=wall_seconds,
        tasks_per_second=tasks / wall_seconds,
        cpu_ms_a_task=1000 * cpu_seconds / tasks,
        peak_pss_mb=running.peak_pss_bytes / 1e6,
        provider_calls=sold["calls"],
        max_in_flight=sold["max_in_flight"],
        paid_twice=sold["paid_twice"],
        bad_vectors=reported["bad_vectors"],
        repeated=reported["repeated_reports"],
        failed=reported["failed"],
    )
