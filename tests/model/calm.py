"""All trouble ends, time goes on: then everything must come to its end."""

from shared.models import TaskStatus
from supervisor.runtime.events import ResumeRequested
from tests.model.world import World

MAX_ROUNDS = 150
ROUND_SECONDS = 5.0
MAX_IDLE_TURNS = 20


def settle(world: World) -> None:
    """Every peer does its part without fault until nothing is left to do. AssertionError if it never ends."""
    world.harness.disk.free()
    world.fuse.remove()
    world.post(ResumeRequested())
    for task in world.api.tasks.values():
        if task.others and not task.final:
            task.state = TaskStatus.SUCCEEDED
    for _ in range(MAX_ROUNDS):
        if not _unfinished(world):
            assert not world.input_files(), "no task is left, but inputs are"
            return
        go_well_with_poll(world)
        go_well(world)
        _rest(world)
        world.clock.advance(ROUND_SECONDS)
    raise AssertionError(f"never finished: {_unfinished(world)}")


def _unfinished(world: World) -> list[str]:
    rows = {task_id: world.on_disk(task_id) for task_id in world.api.tasks}
    rejected = {task_id for task_id, row in rows.items() if row is not None and row.state == "rejected"}
    open_tasks = {task.id for task in world.api.tasks.values() if not task.final and not task.deleted}
    return sorted((open_tasks | set(world.harness.journal)) - rejected)


def go_well_with_poll(world: World) -> None:
    """A poll is asked for, read and answered."""
    world.begin_poll()
    world.read_poll()
    world.answer_poll()


def go_well(world: World) -> None:
    """Every worker and every PATCH does what it is asked for at once; one turn of the loop follows."""
    for slot in world.workers.missing():
        world.post(world.workers.start(slot))
    for slot in range(world.workers.slots):
        world.hear(slot)
    for slot in sorted(world.workers.to_kill & world.workers.alive.keys()):
        world.worker_dies(slot)
    while busy := world.workers.busy():
        world.finish_unit(busy[0], lambda _: world.new_output())
    world.ghosts_arrive()
    world.begin_requests(claim=False)
    world.begin_requests(claim=True)
    for request in list(world.requests):
        world.carry_out(request)
        world.answer_request(request)
    world.begin_bulk()
    for bulk in list(world.bulk_requests):
        world.answer_bulk(bulk)
    world.begin_renewal()
    world.answer_renewals(heard=True)
    world.turn()


def _rest(world: World) -> None:
    """With nothing new the loop must come to rest."""
    for _ in range(MAX_IDLE_TURNS):
        if world.harness.wait() > 0:
            return
        world.turn()
    raise AssertionError(f"the loop spins: {MAX_IDLE_TURNS} turns without a wait")
