"""What the forkserver loads before it forks workers, so that they start at once and share its memory.

The modules in here act when they are imported, and are for the forkserver alone.
"""

from shared.models import Provider


def preload_modules(provider: Provider) -> list[str]:
    """Names for `set_forkserver_preload`, in this order."""
    return ["workers.preload.process", f"workers.preload.{provider.value}"]
