"""What every check is made of: commands, waiting, a line for each fact, and an exit code."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
TAIL_CHARACTERS = 4000
REFRESH_SECONDS = 0.1


class CheckFailedError(Exception):
    """What was checked is not so, or could not be checked."""


class Checklist:
    """Prints as it goes: whoever waits for a machine to boot wants to see it."""

    def __init__(self) -> None:
        self.passed = 0

    def ok(self, fact: str) -> None:
        self.passed += 1
        sys.stdout.write(f"  ok  {fact}\n")
        sys.stdout.flush()

    def require(self, holds: bool, fact: str, found: object = "") -> None:
        """Note a fact, or raise CheckFailedError with what was found instead."""
        if not holds:
            raise CheckFailedError(f"not so: {fact}" + (f"; found: {found}" if found != "" else ""))
        self.ok(fact)


def main(check: Callable[[Checklist], None]) -> int:
    """Run one check as a program: 0 if all went well, 1 with the reason if not."""
    checklist = Checklist()
    started = time.monotonic()
    try:
        check(checklist)
    except CheckFailedError as error:
        sys.stdout.write(f"FAILED  {error}\n")
        return 1
    sys.stdout.write(f"{checklist.passed} checks passed in {time.monotonic() - started:.0f} s\n")
    return 0


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
    """Run to the end; its stdout alone, for a warning on stderr is no part of an answer.

    Raises CheckFailedError, with both, if it does not end with 0.
    """
    done = subprocess.run(  # noqa: S603  # fixed commands of our own
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        said = (done.stdout + done.stderr)[-TAIL_CHARACTERS:].rstrip()
        raise CheckFailedError(f"{shown} ended with {done.returncode}:\n{said}")
    return done.stdout


def wait_for(what: str, probe: Callable[[], T | None], limit_seconds: float) -> T:
    """The first answer of `probe` that is neither None nor False. Raises CheckFailedError when time is up."""
    deadline = time.monotonic() + limit_seconds
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise CheckFailedError(f"waited {limit_seconds:g} s in vain for: {what}")
        time.sleep(REFRESH_SECONDS)
