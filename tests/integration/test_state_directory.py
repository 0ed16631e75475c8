"""The state directory: made, private, and one service's alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.journal.state_directory import StateDirectory
from tests.eventually import eventually

CHECKOUT = Path(__file__).parents[2]
HOLDER = (
    "import sys; from pathlib import Path; from supervisor.journal.state_directory import StateDirectory;"
    "held = StateDirectory(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


def test_it_is_made_with_its_parents_and_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "a" / "b")
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert (state.path / "lock").stat().st_mode & 0o777 == 0o600
    assert state.journal.parent == state.metrics.parent == state.path
    state.close()


def test_open_directory_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    StateDirectory(tmp_path / "state").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path)
    with pytest.raises(ConfigurationError, match=r"STATE_DIR: another service is running on .*stop it, or"):
        StateDirectory(tmp_path)
    first.close()
    StateDirectory(tmp_path).close()


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigurationError, match="another service"):
            StateDirectory(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    StateDirectory(tmp_path).close()


def test_lock_is_not_inherited_by_children(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with child:
        state.close()
        # A new program may close what it must not inherit a moment after it has begun.
        eventually(lambda: is_free(tmp_path), what="the child lets go")
        assert child.stdin is not None
        child.stdin.write(b"\n")


def is_free(path: Path) -> bool:
    try:
        StateDirectory(path).close()
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_place_that_cannot_be_a_directory_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=f"STATE_DIR: cannot write to {tmp_path / place}"):
        StateDirectory(tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_place_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match="STATE_DIR: cannot write"):
        StateDirectory(tmp_path / "locked" / "state")
