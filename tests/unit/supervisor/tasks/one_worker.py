"""A harness whose one worker holds tasks, and what the API hears of them."""

import json

from tests.builders import make_settings
from tests.fakes.harness import Harness


def make_harness(*task_ids: str, **fields: object) -> Harness:
    """One worker, which holds these tasks as one unit."""
    harness = Harness(make_settings(concurrency_limit=1, **fields))
    harness.start_workers()
    harness.list_tasks(*task_ids)
    assert held(harness) == list(task_ids)
    return harness


def held(harness: Harness) -> list[str]:
    """The tasks in the worker's hands."""
    return [task.id for unit in harness.held.values() for task in unit.tasks]


def told(harness: Harness) -> dict[str, str]:
    """What the API is told: `succeeded`, or the message of the failure."""
    answers = {}
    for job in harness.answer_all():
        assert job.task_id not in answers
        body = json.loads(job.body)
        answers[job.task_id] = body["error_message"] or body["status"]
    return answers
