"""A fault of our own ends the service at once and says so, rather than leaving half of it behind."""

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BREAK_AND_RUN = """
import sys
from supervisor.tasks.dispatcher import Dispatcher

def fault(self, event):
    raise RuntimeError("a fault of ours")

if __name__ == "__main__":
    Dispatcher.started = fault
    from supervisor.cli import main
    sys.exit(main([]))
"""


def test_fault_in_the_loop_ends_the_service_with_1(tmp_path: Path) -> None:
    program = tmp_path / "broken.py"
    program.write_text(BREAK_AND_RUN)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CHECKOUT),
        "API_BASE_URL": "http://127.0.0.1:9",
        "OPENAI_API_KEY": "sk-none",
        "STATE_DIR": str(tmp_path / "state"),
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, str(program)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert "a fault of ours" in ended.stderr
