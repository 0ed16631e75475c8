"""A worker as an actor. Its whole life is in tests/integration/test_ray_workers.py."""

import pickle
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from shared.messages import UnitDone, WorkerUnfit
from shared.metric_changes import MetricChanges
from tests.worker_configs import make_config
from workers.plugins import Source
from workers.process import actor
from workers.process.actor import WorkerActor, code_fingerprint
from workers.process.threads import start_thread


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


def test_answer_that_is_large_enough_leaves_other_messages_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = WorkerActor(lambda: "10.0.0.2")
    worker._changes = MetricChanges()
    for unit_id in (1, 2, 3, 4):
        worker._answers.put(UnitDone(unit_id))
    monkeypatch.setattr(actor, "MAX_ANSWER_BYTES", 1)
    assert [worker.next_answer().finished for _ in range(2)] == [(1,), (2,)]
    monkeypatch.setattr(actor, "MAX_ANSWER_BYTES", 2**20)
    assert worker.next_answer().finished == (3, 4)


def test_actor_that_finishes_closes_its_processors() -> None:
    worker = WorkerActor(lambda: "10.0.0.2")
    closed = threading.Event()
    worker._thread = start_thread("worker", lambda: None)
    worker._close = closed.set
    worker.finish()
    assert closed.is_set()


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
