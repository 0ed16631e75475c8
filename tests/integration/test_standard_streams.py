"""A program whose standard streams were closed by whoever started it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
from supervisor.runtime.process import open_standard_streams
open_standard_streams()
assert all(os.get_inheritable(descriptor) for descriptor in (0, 1, 2)), "for the processes of workers"
print("to stdout", file=sys.stdout, flush=True)
print("to stderr", file=sys.stderr, flush=True)
sys.stdin.read()
with open(sys.argv[1], "w") as file:
    os.write(1, b"a log line")
    file.write(str(file.fileno()))
"""


@pytest.mark.parametrize(
    ("closing", "out", "errors"),
    [
        ("<&-", "to stdout\na log line", "to stderr\n"),
        (">&-", "", "to stderr\n"),
        ("2>&-", "to stdout\na log line", ""),
        ("<&- >&- 2>&-", "", ""),
    ],
)
def test_what_is_printed_never_goes_into_the_next_file(
    tmp_path: Path, closing: str, out: str, errors: str
) -> None:
    path = tmp_path / "file"
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {closing}', "bash", sys.executable, "-c", PROGRAM, str(path)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, out, errors)
    assert int(path.read_text()) > 2
