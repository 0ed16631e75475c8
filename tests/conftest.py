"""What holds for all tests."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.fakes.disk import close_disks

# No deadlines: how fast a busy machine is says nothing about the code. In CI the examples are the same
# each time, so that a failure there can be seen again.
hypothesis.settings.register_profile("here", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("here")

# Coverage measures the processes that run tests. The services and workers that tests start would be slow
# under it, and their code has tests of its own.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(autouse=True)
def closed_journals() -> Iterator[None]:
    """From Python 3.13 on a database that is left open is a warning, and a warning fails the test."""
    yield
    close_disks()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, or the last of them runs alone."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/chaos/", "tests/model/")))
