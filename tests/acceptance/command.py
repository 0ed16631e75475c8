"""One command of `run.py` that ends by itself."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.service import RUN, clean_environment

COMMAND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: int
    lines: Sequence[str]
    """Of stdout."""
    errors: Sequence[str]
    """Lines of stderr."""


AS_ORDINARY_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def run_command(folder: Path, *arguments: str, through: Sequence[str] = (), **settings: str) -> Outcome:
    """Run `python run.py ARGUMENTS` in `folder` with these settings and no others.

    `through` is a command that runs the command it is given.
    """
    return _run(folder, [*through, sys.executable, RUN, *arguments], settings)


def run_command_as_ordinary_user(folder: Path, *arguments: str, **settings: str) -> Outcome:
    """The same without the power of root to read and write everything."""
    as_user = AS_ORDINARY_USER if os.geteuid() == 0 else ()
    return run_command(folder, *arguments, through=as_user, **settings)


def _run(folder: Path, command: Sequence[str], settings: Mapping[str, str]) -> Outcome:
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())
