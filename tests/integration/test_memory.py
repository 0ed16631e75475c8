"""Large buffers go back to the system, and a long text takes the embedded model little memory."""

import subprocess
import sys
import textwrap

BUFFERS = """
    from pathlib import Path
    from supervisor.runtime.process import return_large_buffers

    def resident_mb():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000

    return_large_buffers()
    for _ in range(3):  # each freed one teaches the C library to keep the next
        kept, large = [], bytearray(b"x" * 20_000_000)
        large.extend(b"x" * 10_000_000)
        kept.append(bytes(100_000))
        del large
    between = [bytes(60_000) for _ in range(10)]
    before = resident_mb()
    buffers = []
    for _ in range(4):
        buffers.append(bytearray(b"x" * 20_000_000))
        between.append(bytes(60_000))
    buffers.clear()
    print(resident_mb() - before)
"""


LONG_TEXT = """
    import resource
    from workers.providers.local import LocalEmbeddings

    def peak_mb():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

    local = LocalEmbeddings()
    local.embed(["a short text " * 1000], "any", None)
    before = peak_mb()
    local.embed(["a text of a megabyte " * 50_000], "any", None)
    print(peak_mb() - before)
"""


def printed_mb(code: str) -> float:
    """The megabytes that a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def test_pages_that_were_read_go_back_to_the_system() -> None:
    assert printed_mb(BUFFERS) < 5


def test_text_of_a_megabyte_takes_the_embedded_model_little_memory() -> None:
    assert printed_mb(LONG_TEXT) < 30
