"""Whether a worker starts on the Ray cluster, by the service's own means: in a bridge process."""

import queue
import tempfile
from pathlib import Path

from shared.errors import ConfigurationError
from shared.settings import LogLevel, Settings
from supervisor.console.preflight.finding import Finding, Mark, faults_of
from supervisor.pool.base import WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.pool.choice import make_pool
from supervisor.runtime.events import Event
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory

SUBJECT = "RAY_ADDRESS"
START_SECONDS = 90.0


def look_at_ray(settings: Settings, processors: ProcessorFactory) -> Finding:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    quiet = settings.model_copy(update={"log_level": LogLevel.ERROR})
    with tempfile.TemporaryDirectory() as metrics:
        config = WorkerConfig.from_settings(quiet, processors.specs(), Path(metrics))
        try:
            pool = make_pool(settings, config, heard.put, slots=1)
        except ConfigurationError as error:
            return next(faults_of(error))
        pool.start()
        try:
            return read(heard.get(timeout=START_SECONDS), settings)
        except queue.Empty:
            text = f"no worker was ready on the cluster at {settings.ray_address} within {START_SECONDS:g} s"
            return Finding(Mark.FAILED, SUBJECT, text)
        finally:
            pool.close()


def read(event: Event, settings: Settings) -> Finding:
    """What the first event of a pool of one worker says."""
    if isinstance(event, WorkerStarted):
        each = f"{settings.ray_worker_cpus:g} CPU and {settings.ray_worker_gpus:g} GPU"
        wanted = f"the service wants {settings.workers} workers of {each}"
        return Finding(Mark.OK, SUBJECT, f"a worker starts on {event.where}; {wanted}")
    if isinstance(event, WorkersAwaited):
        return Finding(Mark.FAILED, SUBJECT, f"{event.reason}. The service would wait, and fail no task")
    if isinstance(event, WorkerDied):
        return Finding(Mark.FAILED, SUBJECT, f"a worker {event.reason}")
    return Finding(Mark.FAILED, SUBJECT, "the bridge to the cluster does not work")
