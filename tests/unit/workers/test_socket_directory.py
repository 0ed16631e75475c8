"""Where the forkserver's socket goes: TMPDIR is looked at before any worker is asked for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from workers.process.forkserver import check_socket_directory


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter keeps the directory that it chose first."""
    monkeypatch.setattr(tempfile, "tempdir", None)


def fault(monkeypatch: pytest.MonkeyPatch, directory: Path) -> str:
    monkeypatch.setenv("TMPDIR", str(directory))
    with pytest.raises(ConfigurationError) as caught:
        check_socket_directory()
    (line,) = caught.value.faults
    return line


def test_directory_that_can_be_written_is_taken(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", f"{short}/../{short.name}/")
    check_socket_directory()
    assert not list(short.iterdir())


def test_path_too_long_for_a_socket_is_named(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = short / ("x" * 100)
    long.mkdir()
    said = "TMPDIR: workers cannot have a socket there: AF_UNIX path too long"
    assert fault(monkeypatch, long).startswith(said)


@pytest.mark.parametrize("place", ["nowhere", "a file", "/proc"])
def test_place_that_cannot_be_written_is_named(
    short: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (short / "a file").touch()
    said = f"TMPDIR: {short / place} does not exist or cannot be written"
    assert fault(monkeypatch, short / place).startswith(said)


def test_machine_without_any_directory_for_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with pytest.raises(ConfigurationError, match=r"TMPDIR: .*No usable temporary directory"):
        check_socket_directory()
