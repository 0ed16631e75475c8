"""Bodies are on disk once flushed, are read as they were added, and leave no file behind when released."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from supervisor.journal import report_bodies
from supervisor.journal.report_bodies import READ, WRITE, BodyFile, BodyFiles, BodyLocation

SMALL_FILE_BYTES = 100


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_bodies, "FILE_BYTES", SMALL_FILE_BYTES)
    monkeypatch.setattr(report_bodies, "SPARSE_BYTES", SMALL_FILE_BYTES // 5)


@pytest.fixture
def bodies(tmp_path: Path) -> Iterator[BodyFiles]:
    bodies = opened(tmp_path)
    yield bodies
    bodies.close()


def opened(directory: Path, *locations: BodyLocation) -> BodyFiles:
    bodies = BodyFiles(directory)
    bodies.keep(locations)
    return bodies


def fill(bodies: BodyFiles, files: int) -> list[list[BodyLocation]]:
    """So many full files of ten bodies each; the locations, file by file."""
    locations = [[bodies.add(b"x" * 10) for _ in range(SMALL_FILE_BYTES // 10)] for _ in range(files)]
    bodies.flush()
    return locations


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_body_is_read_as_it_was_added_from_memory_and_from_disk(bodies: BodyFiles) -> None:
    added = [b"one", b"\x00" * 50, "zwölf".encode(), b"x" * 1000, b"last"]
    locations = [bodies.add(body) for body in added]
    bodies.flush()
    assert [bodies.read(location) for location in locations] == added
    assert [bodies.read(location) for location in locations] == added


def test_only_what_fits_is_kept_in_memory(
    bodies: BodyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_bodies, "MAX_RECENT_BYTES", 10)
    locations = [bodies.add(b"x" * 8) for _ in range(3)]
    bodies.flush()
    (tmp_path / names(tmp_path)[0]).write_bytes(b"y" * 24)
    assert [bodies.read(location) for location in locations] == [b"x" * 8, b"x" * 8, b"y" * 8]


def test_next_process_reads_what_this_one_flushed_and_writes_elsewhere(
    bodies: BodyFiles, tmp_path: Path
) -> None:
    location = bodies.add(b"of the first process")
    bodies.flush()
    successor = opened(tmp_path, location)
    other = successor.add(b"of the second")
    successor.flush()
    assert (successor.read(location), successor.read(other)) == (b"of the first process", b"of the second")
    assert location.file != other.file
    successor.close()


def test_what_nobody_refers_to_is_removed_at_the_start(bodies: BodyFiles, tmp_path: Path) -> None:
    (first, *_), _, _ = fill(bodies, 3)
    (tmp_path / "notes.txt").write_text("not ours")
    opened(tmp_path, first).close()
    assert names(tmp_path) == ["00000001", "notes.txt"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 5)])
def test_missing_or_short_file_is_found_at_the_start(
    bodies: BodyFiles, tmp_path: Path, damage: "Sequence[object]"
) -> None:
    location = bodies.add(b"ten bytes.")
    bodies.flush()
    damage(tmp_path / "00000001")  # type: ignore[operator]  # one of the two above
    with pytest.raises(OSError, match="00000001"):
        opened(tmp_path, location)


def test_file_goes_with_the_last_of_its_bodies(bodies: BodyFiles, tmp_path: Path) -> None:
    first, second, _ = fill(bodies, 3)
    for location in first[1:] + second:
        bodies.release(location)
    assert names(tmp_path) == ["00000001", "00000003"]
    bodies.release(first[0])
    assert names(tmp_path) == ["00000003"]


def test_file_that_was_emptied_while_it_grew_goes_when_it_is_full(bodies: BodyFiles, tmp_path: Path) -> None:
    (locations,) = fill(bodies, 1)
    for location in locations:
        bodies.release(location)
    assert names(tmp_path) == ["00000001"]
    bodies.add(b"into the next")
    bodies.flush()
    assert names(tmp_path) == ["00000002"]


def test_old_file_kept_by_few_bodies_is_sparse(bodies: BodyFiles) -> None:
    first, *_ = fill(bodies, 6)
    for location in first[:7]:
        bodies.release(location)
    assert bodies.sparse() is None
    bodies.release(first[7])
    assert bodies.sparse() == 1


def test_file_of_late_is_not_sparse_whatever_keeps_it(bodies: BodyFiles) -> None:
    files = fill(bodies, 5)
    for locations in files:
        for location in locations[1:]:
            bodies.release(location)
    assert bodies.sparse() is None


def test_failed_flush_keeps_all_for_the_next(
    bodies: BodyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = bodies.add(b"first ")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda *_: 3)  # a full disk takes a part
        with pytest.raises(OSError, match="No space left") as caught:
            bodies.flush()
        assert caught.value.errno == errno.ENOSPC
    late = bodies.add(b"second")
    bodies.flush()
    assert (tmp_path / "00000001").read_bytes() == b"first second"
    assert (bodies.read(location), bodies.read(late)) == (b"first ", b"second")


def test_more_bodies_than_one_system_call_takes_are_written_in_order(
    bodies: BodyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_bodies, "BODIES_A_WRITE", 3)
    for number in range(10):
        bodies.add(b"%d" % number)
    bodies.flush()
    assert (tmp_path / "00000001").read_bytes() == b"0123456789"


def test_files_are_private(bodies: BodyFiles, tmp_path: Path) -> None:
    fill(bodies, 1)
    assert (tmp_path / "00000001").stat().st_mode & 0o777 == 0o600


def test_reader_says_what_is_cut_off(tmp_path: Path) -> None:
    writer, reader = BodyFile(tmp_path, WRITE), BodyFile(tmp_path, READ)
    writer.write(7, 0, [b"12345"])
    assert reader.read(BodyLocation(7, 1, 3)) == b"234"
    with pytest.raises(OSError, match=r"cut off.*00000007"):
        reader.read(BodyLocation(7, 3, 3))
    writer.close()
    reader.close()


def test_name_of_a_new_file_is_synced_also_at_the_second_attempt(
    bodies: BodyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        if len(synced) == 1:
            raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", fsync)
    bodies.add(b"body")
    with pytest.raises(OSError, match="no"):
        bodies.flush()
    bodies.flush()
    assert synced == [str(tmp_path)] * 2


def test_removed_file_is_not_kept_open(
    bodies: BodyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_bodies, "MAX_RECENT_BYTES", 0)
    first, _ = fill(bodies, 2)
    assert bodies.read(first[0]) == b"x" * 10
    for location in first:
        bodies.release(location)
    held = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert not [name for name in held if name.startswith(f"{tmp_path}/00000001")]


def test_file_that_cannot_be_read_is_left_where_it_is(bodies: BodyFiles) -> None:
    first, *_ = fill(bodies, 6)
    for location in first[2:]:
        bodies.release(location)
    bodies.leave(1)
    assert bodies.sparse() is None
