"""What must be true between any two events."""

import math
from collections import Counter

from shared.models import TaskStatus
from tests.fakes.harness import Harness
from tests.model.world import World

MAX_TURN_SECONDS = 0.25


def check_every_held_task_has_one_place(world: World) -> None:
    """What the journal holds waits to run, runs, is to be reported or claimed, or was rejected: just one.

    In a drain a claim whose answer was lost has no place, nor has a task whose return was answered by 404:
    its row is left to the next start.
    """
    harness = world.harness
    places = Counter(_places(harness))
    rows = set(harness.journal)
    without = rows - places.keys()
    if harness.supervisor.state.draining:
        without = {task_id for task_id in without if not _may_be_claimed(world, task_id)}
    assert len(without) == harness.journal.rejected, f"without a place: {without}"
    assert not places.keys() - rows, f"without a row: {places.keys() - rows}"
    twice = [task_id for task_id, count in places.items() if count > 1]
    assert not twice, f"in two places: {twice}"


def check_no_task_is_with_two_workers(world: World) -> None:
    held = Counter(world.workers.held())
    assert all(count == 1 for count in held.values()), held


def check_suspects_are_alone_in_their_worker(world: World) -> None:
    for number, slot in enumerate(world.harness.table):
        held = [record.task.id for each in slot.assignments.values() for record in each.records]
        suspects = slot.runs_suspect and (len(slot.assignments) > 1 or len(held) > 1)
        assert not suspects, f"slot {number} runs {held}, and one of them is a suspect"


def check_what_the_api_has_is_not_computed_again(world: World) -> None:
    for task_id in world.workers.held():
        task = world.api.tasks[task_id]
        assert not task.final or task.others, f"{task_id} is {task.state} and runs again"


def check_outcomes_do_not_differ(world: World) -> None:
    for task in world.api.tasks.values():
        assert len(task.said) <= 1, f"{task.id} was told different outcomes: {task.said}"
        assert task.state is not TaskStatus.FAILED or task.blamed or task.others, (
            f"{task.id} failed for no reason"
        )


def check_no_claim_is_forgotten(world: World) -> None:
    """What is ours at the API, without an end, is on our disk, or nobody would ever work on it."""
    for task in world.api.tasks.values():
        if task.is_ours and task.leased_until == math.inf:
            assert world.on_disk(task.id) is not None, f"{task.id} is claimed and forgotten"


def _may_be_claimed(world: World, task_id: str) -> bool:
    row = world.on_disk(task_id)
    return row is not None and row.state == "ready" and row.claim in ("asked", "held")


def _places(harness: Harness) -> list[str]:
    supervisor = harness.supervisor
    return [
        *(record.task.id for record in supervisor.backlog.records()),
        *(record.task.id for held in harness.table.assignments() for record in held.records),
        *(report.task_id for report in supervisor.outbox),
        *(claim.task_id for claim in supervisor.claims.sender.outbox),
    ]


def check_no_turn_was_long(world: World) -> None:
    seconds = world.max_turn_seconds
    assert seconds < MAX_TURN_SECONDS, f"a turn took {seconds:.2f} s of the processor"
