import subprocess
import sys
from pathlib import Path

import pytest

from shared.provider_accounts import LOCAL, OPENAI
from workers.process.forkserver import PRELOAD_VARIABLE


@pytest.mark.parametrize(
    ("provider", "loaded", "absent"),
    [(OPENAI, "httpcore2", "wordllama"), (LOCAL, "wordllama", "openai")],
)
def test_the_forkserver_loads_what_its_workers_use_and_no_more(
    provider: str, loaded: str, absent: str
) -> None:
    script = "import sys, workers.process.preload; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={PRELOAD_VARIABLE: provider},
    )
    modules = done.stdout.split()
    assert loaded in modules
    assert absent not in modules
    assert modules.index("workers.process.entrypoint") < modules.index("numpy"), "threads are limited first"
