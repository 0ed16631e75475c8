"""The state directory is private, and one service's alone."""

import stat
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.journal.state_directory import StateDirectory


def test_directory_is_made_and_private(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "deep" / "state")
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert state.journal.parent == state.metrics.parent == state.path
    state.close()


def test_directory_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateDirectory(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_second_service_on_the_same_directory_is_told_so(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path)
    with pytest.raises(ConfigurationError, match="another service is running on"):
        StateDirectory(tmp_path)
    first.close()


def test_directory_is_free_again_once_its_service_has_ended(tmp_path: Path) -> None:
    StateDirectory(tmp_path).close()
    StateDirectory(tmp_path).close()


def test_relative_path_means_the_same_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = StateDirectory(Path("state"))
    assert state.path == tmp_path / "state"
    state.close()


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_path_that_is_no_directory_is_a_readable_fault(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"STATE_DIR: cannot write to .*file"):
        StateDirectory(tmp_path / path)
