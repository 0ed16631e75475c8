"""What every test of the supervisor's parts stands on."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.fakes.clock import Clock
from tests.fakes.harness import Harness


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log lines of the test, as fields; nothing is printed."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def harness() -> Harness:
    """A service with five workers, all ready, and its first poll under way."""
    harness = Harness()
    harness.start_workers()
    return harness
