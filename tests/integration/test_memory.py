"""Large buffers go back to the system; the collector still finds what is cyclic."""

import subprocess
import sys
import textwrap

BUFFERS = """
    from pathlib import Path
    from supervisor.runtime.memory import return_large_buffers

    def resident_mb():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000

    {setting}
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


def left_mb(setting: str) -> float:
    """Megabytes that stay with a process after 80 MB were freed."""
    code = textwrap.dedent(BUFFERS).format(setting=setting)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def test_pages_that_were_read_go_back_to_the_system() -> None:
    assert left_mb("return_large_buffers()") < 5
