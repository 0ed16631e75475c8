"""Which pool POOL asks for."""

from collections.abc import Callable

from shared.settings import Pool, Settings
from supervisor.pool.base import WorkerPool
from supervisor.pool.local import LocalPool
from supervisor.runtime.events import Event
from workers.config import WorkerConfig


def make_pool(
    settings: Settings, config: WorkerConfig, post: Callable[[Event], None], slots: int
) -> WorkerPool:
    """Raises ConfigurationError where it cannot be had."""
    if settings.pool is Pool.LOCAL:
        return LocalPool(slots, config, post)
    from supervisor.pool.ray.pool import RayPool  # noqa: PLC0415  # of no use to most

    return RayPool.from_settings(settings, config, post, slots)
