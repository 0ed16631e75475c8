"""A worker as an actor. Its whole life is in tests/integration/test_ray_workers.py."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from shared.messages import WorkerUnfit
from tests.worker_configs import make_config
from workers.plugins import Source
from workers.process import actor
from workers.process.actor import WorkerActor, code_fingerprint


def test_node_with_other_code_refuses_before_it_reads_the_configuration() -> None:
    unfit = WorkerActor(lambda: "10.0.0.2").start(0, "another", b"not even a pickle")
    assert isinstance(unfit, WorkerUnfit)
    assert "on the Ray node 10.0.0.2" in unfit.reason
    assert "put the same image" in unfit.reason


def test_node_that_lacks_a_task_type_refuses_and_names_it() -> None:
    config = make_config()
    spec = replace(
        config.processors[0], source=Source("nowhere.sentiment:Sentiment", "by entry point"), task_type="mood"
    )
    pickled = pickle.dumps(replace(config, processors=(*config.processors, spec)))
    unfit = WorkerActor(lambda: "10.0.0.2").start(0, code_fingerprint(), pickled)
    assert isinstance(unfit, WorkerUnfit)
    assert unfit.reason.startswith("the Ray node 10.0.0.2 lacks the processor of mood: ")
    assert "nowhere" in unfit.reason


def test_fingerprint_changes_with_the_code_of_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in actor.CODE:
        (tmp_path / package).mkdir()
    monkeypatch.setattr(actor, "CHECKOUT", tmp_path)
    fingerprint = code_fingerprint.__wrapped__
    (tmp_path / "workers" / "one.py").write_text("x = 1")
    before = fingerprint()
    assert fingerprint() == before
    (tmp_path / "workers" / "one.py").write_text("x = 2")
    assert fingerprint() != before


def test_actor_shows_no_key_where_it_is_written_down() -> None:
    config = make_config(key="sk-known-to-workers-alone-0123")
    assert "sk-known" not in repr(WorkerActor(lambda: "10.0.0.2"))
    assert "sk-known" not in repr(config)
    assert b"sk-known" in pickle.dumps(config), "it travels"
