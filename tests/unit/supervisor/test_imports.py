"""What the supervisor's process does not load."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
OF_WORKERS = ("numpy", "openai", "httpx2", "wordllama")


def test_supervisor_loads_nothing_that_only_workers_need() -> None:
    program = "import sys, supervisor.main; print(*sys.modules, sep='\\n')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30)
    assert not set(OF_WORKERS) & set(done.stdout.splitlines())
