"""What the benchmark's command line means."""

import pytest

from benchmarks.__main__ import Scenario, parse
from benchmarks.contenders import Contender


def test_scenarios_and_contenders_are_told_apart() -> None:
    wanted = parse(["overhead", "floor", "throughput", "service", "--tasks", "500"])
    assert wanted.scenarios == (Scenario.THROUGHPUT, Scenario.OVERHEAD)
    assert wanted.contenders == (Contender.SERVICE, Contender.FLOOR)
    assert wanted.tasks == 500


@pytest.mark.parametrize("arguments", [["floor"], ["overhead", "flour"], ["overhead", "--tasks", "0"]])
def test_unknown_or_missing_names_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "usage: python -m benchmarks" in capsys.readouterr().err
