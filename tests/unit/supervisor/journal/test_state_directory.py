"""The state directory is private, and one service's alone."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a link", "a link is a link to nowhere"),
        ("a file", "a file is no directory"),
        ("bad bodies", "bad bodies/bodies is no directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_fault_says_what_stands_in_the_way(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "a link").symlink_to("nowhere")
    (tmp_path / "a file").touch()
    (tmp_path / "bad bodies").mkdir()
    (tmp_path / "bad bodies" / "bodies").touch()
    with pytest.raises(ConfigurationError, match=f"STATE_DIR: cannot write to .*{said}"):
        StateDirectory(tmp_path / name)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_that_locks_nothing_is_not_taken_for_another_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    with pytest.raises(ConfigurationError, match=f"cannot be locked: {os.strerror(code)}; use a local disk"):
        StateDirectory(tmp_path)


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "write"])
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSPC, errno.EIO])
def test_file_system_that_keeps_nothing_for_sure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing(code))
        said = f"STATE_DIR: what is written to .* cannot be brought to its disk: {os.strerror(code)}"
        with pytest.raises(ConfigurationError, match=said):
            StateDirectory(tmp_path)
    StateDirectory(tmp_path).close()


def failing(code: int) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail
