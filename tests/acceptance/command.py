"""One command of `run.py` that ends by itself."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.service import RUN, clean_environment

COMMAND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: int
    lines: Sequence[str]
    """Of stdout."""
    errors: Sequence[str]
    """Lines of stderr."""


def run_command(folder: Path, *arguments: str, **settings: str) -> Outcome:
    """Run `python run.py ARGUMENTS` in `folder` with these settings and no others."""
    done = subprocess.run(
        [sys.executable, RUN, *arguments],
        cwd=folder,
        env=clean_environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())
