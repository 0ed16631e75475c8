"""What the supervisor's process does not load."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
OF_WORKERS = ("numpy", "openai", "httpx2", "wordllama")
OF_RAY = ("ray", "supervisor.pool.ray", "workers.process.actor")


def loaded(*modules: str) -> set[str]:
    """What a process has loaded that has imported these."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules, sep='\\n')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30)
    return set(done.stdout.splitlines())


def test_supervisor_loads_nothing_that_only_workers_need() -> None:
    assert not {*OF_WORKERS, *OF_RAY} & loaded("supervisor.main")


def test_supervisor_of_a_pool_on_ray_loads_no_ray() -> None:
    assert not {*OF_WORKERS, "ray"} & loaded("supervisor.main", "supervisor.pool.ray.pool")
