"""Which of the service's processes a request came from: each is given addresses that name its number."""

import re

from tests.stubs.scripted_http import Request

_RUN = re.compile(r"/run-(\d+)(/.*)")


def run_url(base: str, run: int) -> str:
    return f"{base}/run-{run}"


def run_and_path(target: str) -> tuple[int, str]:
    """The number of the run, and the path without it."""
    found = _RUN.fullmatch(target)
    if found is None:
        raise ValueError(f"{target} names no run")
    return int(found[1]), found[2]


def whole(request: Request) -> bool:
    """False when its sender died in the middle of it: then no server acts on it."""
    return len(request.body) == int(request.headers.get("content-length", "0"))
