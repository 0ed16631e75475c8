"""The guide to a task type of one's own, followed word for word, in a checkout of its own."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs.markdown import ROOT, Document

FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORT = "8765"
TIMEOUT_SECONDS = 90


def steps(guide: Document, port: int) -> Iterator[str]:
    """The blocks as one script: files are written, commands are run."""
    for language, body in FENCE.findall(guide.text):
        if language == "sh":
            yield body.replace(PORT, str(port))
        elif (first := body.partition("\n"))[0].startswith("# try/"):
            yield f"cat > {first[0].removeprefix('# ')} <<'END OF FILE'\n{first[2]}END OF FILE\n"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a user has, with nothing installed into the environment of these tests."""
    for room in ("supervisor", "workers", "shared", "examples"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", tmp_path)
    return tmp_path


@pytest.mark.timeout(TIMEOUT_SECONDS + 10)
def test_the_guide_leads_from_an_empty_folder_to_a_task_done(checkout: Path, free_port: int) -> None:
    script = "\n".join(["set -eu", *steps(Document.read("docs/extending.md"), free_port)])
    installed = checkout / "installed"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=checkout,
        env={
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(installed),
            # Without a network, and beside the environment of these tests.
            "PIP_TARGET": str(installed),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads a switch that is named "no" the other way round
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    log = checkout / "try/service.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    assert "3 passed" in done.stdout
    where = "text_sentiment:TextSentimentProcessor (installed with text-sentiment 0.1.0)"
    assert f"text-sentiment  {where}" in done.stdout
