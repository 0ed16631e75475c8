"""A task that names a model is never answered by another one."""

from pathlib import Path

import orjson
import pytest

from shared.provider_accounts import LOCAL, LOCAL_MODEL, ProviderFields
from tests.builders import make_processors, make_settings
from tests.fakes.harness import Harness, item

SERVER = ProviderFields(base_url="http://host/v1")


def named(task_id: str, model: str | None) -> dict[str, object]:
    return item(task_id, input_data={"text": f"text of {task_id}", "model": model})


def failures(harness: Harness) -> dict[str, str]:
    bodies = {job.task_id: orjson.loads(job.body) for job in harness.answer_all()}
    return {task: body["error_message"] for task, body in bodies.items() if body["status"] == "failed"}


def make_harness(**settings: object) -> Harness:
    harness = Harness(make_settings(**settings), processors=make_processors(LOCAL_MODEL))
    harness.start_workers()
    return harness


def test_embedded_model_answers_in_place_of_no_other() -> None:
    harness = make_harness(embedding_provider=LOCAL)
    harness.list_tasks(
        named("large", "text-embedding-3-large"), named("none", None), named("own", LOCAL_MODEL)
    )
    told = failures(harness)
    assert told.keys() == {"large"}
    assert told["large"].startswith(f'the embedded model is {LOCAL_MODEL}, not "text-embedding-3-large"')
    held = {task.id: task.key.model for unit in harness.held.values() for task in unit.tasks}
    assert held == {"none": LOCAL_MODEL, "own": LOCAL_MODEL}
    assert {unit.provider for unit in harness.held.values()} == {LOCAL}


def test_route_lets_another_provider_answer() -> None:
    routes = {"text-embedding-*": ("server",)}
    harness = make_harness(embedding_provider=LOCAL, providers={"server": SERVER}, model_routes=routes)
    harness.list_tasks(named("large", "text-embedding-3-large"), named("none", None))
    providers = {unit.provider: unit.key.model for unit in harness.held.values()}
    assert providers == {"server": "text-embedding-3-large", LOCAL: LOCAL_MODEL}


@pytest.mark.parametrize("model", ["m", None])
def test_model_of_an_earlier_run_is_not_answered_by_another_after_a_restart(
    tmp_path: Path, model: str | None
) -> None:
    first = Harness(make_settings(), path=tmp_path / "journal.sqlite3")
    first.turn()
    first.list_tasks(named("left", model))
    second = Harness(make_settings(embedding_provider=LOCAL), path=tmp_path / "journal.sqlite3")
    second.supervisor.recover()
    second.start_workers()
    assert failures(second).keys() == {"left"}
    assert not second.held
