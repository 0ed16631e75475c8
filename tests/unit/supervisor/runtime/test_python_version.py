"""A Python that is too old is told from one that is not, by the first line that runs."""

import runpy
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[4] / "run.py"


@pytest.mark.parametrize(
    "version", [(3, 9, 18, "final", 0), (3, 11, 0, "beta", 4), (3, 11, 0, "candidate", 2)]
)
def test_python_that_is_too_old_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: tuple[object, ...]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(RUN), run_name="__main__")
    assert ended.value.code == 2
    assert "Python 3.11 or later is needed" in capsys.readouterr().err
