"""Tasks that go together, and how many of them make a unit."""

import itertools
from collections.abc import Iterable

from supervisor.journal.task_record import TaskRecord
from supervisor.providers.model_limits import Allowance

Group = tuple[TaskRecord, ...]
Duplicates = list[TaskRecord]
"""Tasks that ask the same: one place in a batch, one text paid for, each reported."""
MAX_DUPLICATES = 250
"""Of one text, and in a unit beside its inputs: each has a result, and a unit's are written in one turn."""


def halves(group: Group) -> tuple[Group, Group]:
    """The group in two, tasks that ask the same together."""
    inputs = inputs_of(group)
    middle = len(inputs) // 2
    return joined(inputs[:middle]), joined(inputs[middle:])


def inputs_of(group: Group) -> list[Duplicates]:
    """The different inputs of the group, each with the tasks that ask it."""
    inputs: dict[str, Duplicates] = {}
    for record in group:
        inputs.setdefault(record.task.question, []).append(record)
    return list(inputs.values())


def joined(inputs: Iterable[Duplicates]) -> Group:
    return tuple(itertools.chain.from_iterable(inputs))


def fitting(inputs: Iterable[Duplicates], allowed: Allowance) -> int:
    """How many of the first inputs make a unit: at least one."""
    size_bytes = tasks = size = 0
    for duplicates in itertools.islice(inputs, allowed.inputs):
        size_bytes += duplicates[0].task.size_bytes
        tasks += len(duplicates)
        too_many = tasks > size + 1 + MAX_DUPLICATES
        if size and (size_bytes > allowed.size_bytes or too_many):
            break
        size += 1
    return size


def priority_of(group: Group) -> int:
    """The highest of its tasks: a group waits no longer than the most urgent of them may."""
    return max(record.task.priority for record in group)
