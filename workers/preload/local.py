"""Loads what a worker of the local provider needs: the embedded model itself."""

import contextlib
import gc

import workers.factory
import workers.process.entrypoint  # noqa: F401
from shared.errors import ConfigurationError
from workers.providers.local import load_model

# Where the model is missing, each worker says so; the forkserver must live to start them.
with contextlib.suppress(ConfigurationError):
    load_model()
# Keeps the garbage collector from touching, and so from copying, what the workers share.
gc.collect()
gc.freeze()
