"""The limits of the system are taken as far as they go, and a setting that does not fit is refused."""

import resource

import pytest

from shared.errors import ConfigurationError
from supervisor.runtime import process
from supervisor.runtime.process import check_open_files, take_open_files


def allow(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    monkeypatch.setattr(process, "FILES_OF_THE_SERVICE", 60)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))


@pytest.mark.parametrize("files", [1440, 4096, resource.RLIM_INFINITY])
def test_workers_that_fit_are_taken(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    allow(monkeypatch, files)
    check_open_files(workers=256, connections=100)


@pytest.mark.parametrize(
    ("files", "lower"),
    [
        (1439, "or lower it to 255"),
        (1024, "or lower it to 172"),
        (165, "or lower it to 1"),
        (164, "nofile=)"),
    ],
)
def test_workers_that_do_not_fit_are_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch, files: int, lower: str
) -> None:
    allow(monkeypatch, files)
    with pytest.raises(ConfigurationError) as refused:
        check_open_files(workers=256, connections=100)
    (said,) = refused.value.faults
    assert said.startswith("CONCURRENCY_LIMIT: with 256 workers the service can need 1,440 open files")
    assert f"its limit is {files:,}" in said
    assert said.endswith(lower)


def test_system_that_takes_no_unlimited_number_of_files_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    take_open_files()
