"""Which of the service's processes a request came from: each is given addresses that name its number."""

import re

_RUN = re.compile(r"/run-(\d+)(/.*)")


def run_url(base: str, run: int) -> str:
    return f"{base}/run-{run}"


def run_and_path(target: str) -> tuple[int, str]:
    """The number of the run, and the path without it."""
    found = _RUN.fullmatch(target)
    if found is None:
        raise ValueError(f"{target} names no run")
    return int(found[1]), found[2]
