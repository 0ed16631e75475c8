"""Commands, and the one exception with which a check fails."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

TAIL_CHARACTERS = 4000


class CheckFailedError(Exception):
    """What was checked is not so, or could not be checked."""


def need(*programs: str, package: str = "") -> None:
    """Raise unless every program is installed. `package` names where it comes from."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CheckFailedError(f"not installed: {', '.join(missing)}; on Debian: apt-get install {package}")


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 600,
) -> str:
    """Run to the end; its output, stderr included. Raises CheckFailedError if it does not end with 0."""
    done = subprocess.run(  # noqa: S603  # fixed commands of our own
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        raise CheckFailedError(
            f"{shown} ended with {done.returncode}:\n{done.stdout[-TAIL_CHARACTERS:].rstrip()}"
        )
    return done.stdout
