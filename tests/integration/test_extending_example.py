"""The example of docs/extending.md works as it stands there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.unit.docs.markdown import ROOT, Document

IMPORTS = {
    "shared/task_inputs.py": "from shared.statistics_input import StatisticsInput\n",
    "workers/factory.py": "from workers.processors.text_statistics import TextStatisticsProcessor\n",
}
"""What a reader adds without being told."""


def test_task_type_of_the_example_runs_and_passes_its_tests(tmp_path: Path) -> None:
    names, input_file, row, processor, factory, tests = Document.read("docs/extending.md").blocks("python")
    for room in ("shared", "workers"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    put_between(tmp_path / "shared/models.py", "class TaskType(StrEnum):", "\n\n\n", body_of(names))
    (tmp_path / "shared/statistics_input.py").write_text(input_file)
    put_between(tmp_path / "shared/task_inputs.py", "INPUT_TYPES: Mapping", "}\n", row)
    (tmp_path / "workers/processors/text_statistics.py").write_text(processor)
    put_between(tmp_path / "workers/factory.py", "    return ProcessorFactory([", "\n", factory)
    for file, line in IMPORTS.items():
        source = (tmp_path / file).read_text()
        (tmp_path / file).write_text(source.replace("\nfrom ", f"\n{line}from ", 1))
    (tmp_path / "test_text_statistics.py").write_text(f"import workers.factory  # noqa\n{tests}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_text_statistics.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def body_of(block: str) -> str:
    return "class TaskType(StrEnum):\n" + block.partition("\n")[2].rstrip() + "\n\n\n"


def put_between(path: Path, start: str, end: str, text: str) -> None:
    """Put `text` in place of what goes from `start` to `end`."""
    source = path.read_text()
    begin = source.index(start)
    path.write_text(source[:begin] + text + source[source.index(end, begin) + len(end) :])
