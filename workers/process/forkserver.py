"""The process all workers are forked from."""

import multiprocessing
import multiprocessing.forkserver
import os
from multiprocessing.context import ForkServerContext
from pathlib import Path

from shared.models import Provider
from workers.preload import preload_modules

_CHECKOUT = Path(__file__).resolve().parent.parent.parent


def start_forkserver(provider: Provider) -> ForkServerContext:
    """Start the forkserver with the imports of `provider`'s workers done; a context to make workers with.

    It ends with this process. Should it die before, the next Process.start() starts another.
    """
    # The forkserver knows nothing of this process's sys.path, and passes over preloads it cannot import.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(_CHECKOUT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(_CHECKOUT), *filter(None, paths)])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload_modules(provider))
    multiprocessing.forkserver.ensure_running()
    return context
