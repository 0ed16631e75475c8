"""A house whose one worker holds tasks, and what the API hears of them."""

import json

from tests.builders import make_settings
from tests.fakes.house import House


def make_house(*task_ids: str, **fields: object) -> House:
    """One worker, which holds these tasks as one unit."""
    house = House(make_settings(concurrency_limit=1, **fields))
    house.start_workers()
    house.list_tasks(*task_ids)
    assert held(house) == list(task_ids)
    return house


def held(house: House) -> list[str]:
    """The tasks in the worker's hands."""
    return [task.id for unit in house.held.values() for task in unit.tasks]


def told(house: House) -> dict[str, str]:
    """What the API is told: `succeeded`, or the message of the failure."""
    answers = {}
    for parcel in house.answer_all():
        assert parcel.task_id not in answers
        body = json.loads(parcel.body)
        answers[parcel.task_id] = body["error_message"] or body["status"]
    return answers
