"""Standard input, output and errors, where whoever started the program has closed them."""

import os
import sys
from pathlib import Path
from typing import Literal, TextIO

_FIRST_THREE = (0, 1, 2)


def open_standard_streams() -> None:
    """Open what is closed of the first three descriptors to nothing; call before anything else is opened.

    The next file to be opened would become "standard output": log lines would go into the journal.
    """
    for descriptor in _FIRST_THREE:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest that is free
    # The interpreter has made no file objects of descriptors that were closed.
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout = sys.stdout or _nothing("w")
    sys.stderr = sys.stderr or _nothing("w")


def _nothing(mode: Literal["r", "w"]) -> TextIO:
    return Path(os.devnull).open(mode, encoding="utf-8")
