"""The garbage collector, which rests while the service is put together."""

import gc

from supervisor.runtime.process import COLLECTOR_THRESHOLDS, calm_collector


def test_collector_works_again_once_the_service_is_put_together() -> None:
    before = gc.get_threshold()
    gc.disable()
    try:
        calm_collector()
        assert gc.isenabled()
        assert gc.get_threshold() == COLLECTOR_THRESHOLDS
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.enable()
