"""The bridge process where there is no Ray to speak with."""

import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from supervisor.pool.ray.bridge import telling_if_slow
from supervisor.pool.ray.messages import Alive, BridgeConfig, Report, Unreachable, receive_report
from supervisor.pool.ray.pool import start_bridge
from tests.eventually import eventually

SLOW = Unreachable("nobody is let in")


def first_news(pipe: Connection) -> Report:
    while isinstance(report := receive_report(pipe), Alive):
        pass
    return report


def test_ray_that_cannot_be_loaded_is_told_and_ends_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("raise ImportError('made for another Python')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    process, pipe = start_bridge(BridgeConfig("127.0.0.1:1", 1, 1.0, 0.0, b"", tmp_path, tmp_path, 1))
    with pipe:
        news = first_news(pipe)
        assert isinstance(news, Unreachable)
        assert news.reason.startswith("Ray cannot be loaded: ImportError: made for another Python; ")
        assert "requirements-ray.txt" in news.reason
        process.join()
    assert process.exitcode == 0


def test_cluster_that_is_joined_only_slowly_is_told() -> None:
    told: list[Report] = []
    with telling_if_slow(told.append, SLOW, seconds=0.01):
        eventually(lambda: told)
    assert told == [SLOW]


def test_cluster_that_is_joined_at_once_is_not() -> None:
    told: list[Report] = []
    with telling_if_slow(told.append, SLOW, seconds=60.0):
        pass
    assert told == []
    assert not [thread for thread in threading.enumerate() if thread.name == "slow-join"]
