"""What was checked, a line each, and an exit code at the end."""

import sys
import time
from collections.abc import Callable

from deploy.verify.commands import CheckFailedError


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
