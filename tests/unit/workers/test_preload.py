import importlib.util

import pytest

from shared.models import Provider
from workers.preload import preload_modules


@pytest.mark.parametrize("provider", list(Provider))
def test_every_provider_has_its_preload(provider: Provider) -> None:
    # The forkserver passes over a name it cannot import, without a word.
    for name in preload_modules(provider):
        assert importlib.util.find_spec(name) is not None


def test_threads_are_limited_before_anything_that_starts_them_is_loaded() -> None:
    assert preload_modules(Provider.LOCAL)[0] == "workers.preload.process"
