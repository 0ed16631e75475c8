"""The state directory: made, private, and one service's alone."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.journal.state_directory import StateDirectory
from tests.eventually import eventually

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")
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


OURS, OTHERS, GROUP = 4711, 4712, 4713
AS_A_USER = """
import os, sys
from pathlib import Path
from shared.errors import ConfigurationError
from supervisor.journal.state_directory import StateDirectory
if sys.argv[4] == "mounted":
    Path.is_mount = lambda _: True
os.setgroups([int(sys.argv[3])]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
try:
    StateDirectory(Path(sys.argv[1])).close()
except ConfigurationError as error:
    print(error)
"""


def said_to_user(directory: Path, user: int = OURS, *, mounted: bool = False) -> str:
    """What a service that runs as this user, in GROUP, says of the directory; nothing if it takes it."""
    command = [sys.executable, "-c", AS_A_USER, str(directory), str(user), str(GROUP)]
    command.append("mounted" if mounted else "part of a larger one")
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "state").mkdir()
        yield Path(folder) / "state"


@as_root
@pytest.mark.parametrize(
    ("owner", "group", "mode"),
    [
        (OURS, GROUP, 0o755),
        (OURS, GROUP, 0o777),  # of one's own, and made private
        (0, GROUP, 0o2775),  # a volume with Kubernetes' fsGroup
        (0, 0, 0o1777),  # a tmpfs, or /tmp itself
    ],
    ids=["own", "own, open", "fsGroup", "sticky"],
)
def test_common_ways_to_provide_a_directory_are_taken(
    shared: Path, owner: int, group: int, mode: int
) -> None:
    os.chown(shared, owner, group)
    shared.chmod(mode)
    assert said_to_user(shared) == ""
    assert said_to_user(shared) == "", "and again, with what the first service has left there"


@as_root
def test_files_of_an_earlier_user_of_a_volume_of_the_group_are_taken(shared: Path) -> None:
    os.chown(shared, 0, GROUP)
    shared.chmod(0o2775)
    assert said_to_user(shared, OTHERS) == ""
    for path in shared.rglob("*"):
        path.chmod(0o2770 if path.is_dir() else 0o660)  # as Kubernetes does
    assert said_to_user(shared) == ""


@as_root
@pytest.mark.parametrize(
    ("owner", "mode", "said"),
    [
        (OTHERS, 0o777, f"belongs to user {OTHERS}"),
        (OTHERS, 0o1777, f"belongs to user {OTHERS}"),
        (0, 0o777, "can be written by every user"),
    ],
)
def test_directory_that_others_may_change_is_refused(shared: Path, owner: int, mode: int, said: str) -> None:
    os.chown(shared, owner, GROUP)
    shared.chmod(mode)
    refused = said_to_user(shared)
    assert f"STATE_DIR: {shared} {said}, and the service runs as user {OURS}" in refused
    assert list(shared.iterdir()) == []


@as_root
def test_directory_for_all_is_taken_where_it_was_mounted_for_the_service(shared: Path) -> None:
    shared.chmod(0o777)  # an emptyDir
    assert said_to_user(shared, mounted=True) == ""


@as_root
def test_root_takes_no_directory_of_a_user(shared: Path) -> None:
    os.chown(shared, OTHERS, GROUP)
    with pytest.raises(ConfigurationError, match=f"belongs to user {OTHERS}, and the service runs as user 0"):
        StateDirectory(shared)


@as_root
def test_file_that_another_user_has_put_there_is_refused(shared: Path) -> None:
    shared.chmod(0o1777)
    planted = shared / "journal.sqlite3"
    planted.touch()
    os.chown(planted, OTHERS, GROUP)
    assert f"{planted} belongs to user {OTHERS}" in said_to_user(shared)


@pytest.mark.parametrize(
    "name", ["lock", "trial", "journal.sqlite3-wal", "bodies", "metrics", "bodies/00000001"]
)
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_link_in_the_directory_is_refused_and_not_followed(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    link = tmp_path / "state" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / target)
    with pytest.raises(ConfigurationError, match=f"STATE_DIR: {link} is a link"):
        StateDirectory(tmp_path / "state")
    assert (tmp_path / "elsewhere").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.mkfifo(tmp_path / "state" / "trial")
    with pytest.raises(ConfigurationError, match="STATE_DIR"):
        StateDirectory(tmp_path / "state")


def worker_id(path: Path) -> str:
    state = StateDirectory(path)
    state.close()
    return state.worker_id


def test_service_keeps_its_name_and_no_other_has_it(tmp_path: Path) -> None:
    name = worker_id(tmp_path / "a")
    assert worker_id(tmp_path / "a") == name
    assert worker_id(tmp_path / "b") != name
    assert (tmp_path / "a" / "worker-id").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("found", ["", " \n", "two words", "a" * 101, "a\r\nX-Other: b", "naïve"])
def test_name_that_cannot_stand_in_a_header_is_made_anew_and_kept(tmp_path: Path, found: str) -> None:
    (tmp_path / "worker-id").write_text(found)
    name = worker_id(tmp_path)
    assert name != found
    assert worker_id(tmp_path) == name


def test_name_may_be_chosen_by_a_person(tmp_path: Path) -> None:
    (tmp_path / "worker-id").write_text("replica-3\n")
    assert worker_id(tmp_path) == "replica-3"


@pytest.mark.parametrize("put_there", [os.mkfifo, os.mkdir])
def test_what_is_no_file_in_the_place_of_the_name_is_refused(
    tmp_path: Path, put_there: Callable[[Path], None]
) -> None:
    put_there(tmp_path / "worker-id")
    with pytest.raises(ConfigurationError, match=r"STATE_DIR: .*worker-id cannot be used"):
        StateDirectory(tmp_path)


def test_link_to_the_directory_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to("state")  # as systemd makes it for a DynamicUser
    StateDirectory(tmp_path / "link").close()
    assert (tmp_path / "state" / "lock").exists()


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
