"""Thousands of turns a second would write as many log lines."""

import gc
import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def large_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each page, two inputs find room in the table: the others are in a file."""
    monkeypatch.setattr("supervisor.journal.input_files.MAX_BYTES_IN_TABLE", 24)


@pytest.fixture(autouse=True)
def frozen_heap() -> Iterator[None]:
    """What earlier tests left is not walked in a turn that is measured. The service freezes its heap too."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
