"""`python -m benchmarks SCENARIO... [CONTENDER...]`: run, then print a table for each scenario."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from benchmarks.bulk import Bulk, Memory, run_bulk
from benchmarks.contenders import Contender
from benchmarks.course import FAST, REAL, RunFailedError
from benchmarks.fleet import Fleet, run_fleets
from benchmarks.limits import Limits, run_limits
from benchmarks.load import Load, run_load
from benchmarks.pickup import Pickup, Way, run_pickup
from benchmarks.process_tree import adopt_orphans
from benchmarks.reports import (
    fleet_table,
    limits_table,
    load_table,
    memory_table,
    pickup_table,
    rest_table,
    scale_table,
    simulated_table,
)
from benchmarks.rest import Rest, run_rest
from benchmarks.simulated_fleet import Simulated, run_simulations

PEERS = (Contender.SERVICE, Contender.THREAD_POOL, Contender.FLOOR)
SIZES = (1_000, 10_000)
LONG_SIZE = 100_000


class Scenario(StrEnum):
    """What is measured; see README.md beside this file."""

    THROUGHPUT = "throughput"
    OVERHEAD = "overhead"
    PICKUP = "pickup"
    LIMITS = "limits"
    SCALE = "scale"
    REST = "rest"
    BULK = "bulk"
    FLEET = "fleet"
    SIMULATED_FLEET = "simulated-fleet"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    scenarios: tuple[Scenario, ...]
    contenders: tuple[Contender, ...]
    tasks: int
    repeat: int
    seconds: float
    minutes: int
    long: bool
    as_json: bool


Run = Load | Pickup | Limits | Rest | Memory | Fleet | Simulated


def main(arguments: Sequence[str]) -> int:
    """0: done, 1: a contender failed."""
    wanted = parse(arguments)
    # So that the contender and the stubs are ended also when the benchmark is.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    adopt_orphans()
    results: dict[str, list[dict[str, object]]] = {}
    for scenario in wanted.scenarios:
        try:
            runs = list(_runs(scenario, wanted))
        except RunFailedError as failure:
            print(f"{scenario}: {failure}", file=sys.stderr)
            return 1
        results[scenario.value] = [asdict(run) for run in runs]
        if not wanted.as_json:
            print(f"\n## {scenario}\n\n{_table(scenario, runs)}", flush=True)
    if wanted.as_json:
        print(json.dumps(results, indent=1))
    return 0


def _runs(scenario: Scenario, wanted: Wanted) -> Iterator[Run]:
    """Repeats are outside: what the machine does meanwhile hits all contenders alike."""
    alone = (Contender.SERVICE,)
    repeats = 1 if scenario is Scenario.SIMULATED_FLEET else wanted.repeat
    for repeat in range(repeats):
        for contender in wanted.contenders or (PEERS if scenario in _LATENCIES else alone):
            for run in _one(scenario, contender, wanted):
                print(f"{scenario} {contender} {repeat + 1}/{repeats}", file=sys.stderr, flush=True)
                yield run


_LATENCIES = {Scenario.THROUGHPUT: REAL, Scenario.OVERHEAD: FAST}


def _one(scenario: Scenario, contender: Contender, wanted: Wanted) -> Iterator[Run]:
    if scenario in _LATENCIES:
        yield run_load(contender, _LATENCIES[scenario], wanted.tasks)
    elif scenario is Scenario.PICKUP:
        for way in Way if contender.is_service else (Way.POLLING,):
            yield run_pickup(contender, way, wanted.seconds)
    elif scenario is Scenario.LIMITS:
        yield run_limits(contender, wanted.minutes)
    elif scenario is Scenario.REST:
        yield run_rest(contender, wanted.seconds)
    elif scenario is Scenario.BULK:
        for bulk in Bulk:
            yield run_bulk(contender, bulk)
    elif scenario is Scenario.FLEET:
        yield from run_fleets(wanted.tasks)
    elif scenario is Scenario.SIMULATED_FLEET:
        yield from run_simulations()
    else:
        for size in (*SIZES, *((LONG_SIZE,) if wanted.long else ())):
            yield run_load(contender, FAST, size)


def _table(scenario: Scenario, runs: Sequence[Run]) -> str:
    loads = [run for run in runs if isinstance(run, Load)]
    if scenario is Scenario.PICKUP:
        return pickup_table([run for run in runs if isinstance(run, Pickup)])
    if scenario is Scenario.LIMITS:
        return limits_table([run for run in runs if isinstance(run, Limits)])
    if scenario is Scenario.REST:
        return rest_table([run for run in runs if isinstance(run, Rest)])
    if scenario is Scenario.BULK:
        return memory_table([run for run in runs if isinstance(run, Memory)])
    if scenario is Scenario.FLEET:
        return fleet_table([run for run in runs if isinstance(run, Fleet)])
    if scenario is Scenario.SIMULATED_FLEET:
        return simulated_table([run for run in runs if isinstance(run, Simulated)])
    return scale_table(loads) if scenario is Scenario.SCALE else load_table(loads)


def parse(arguments: Sequence[str]) -> Wanted:
    """SystemExit with a readable line for anything it does not know."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    names = ", ".join((*Scenario, *Contender))
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"scenarios and contenders: {names}")
    parser.add_argument("--tasks", type=_positive, default=2000, help="of throughput, overhead and fleet")
    parser.add_argument("--repeat", type=_positive, default=3, help="runs; the median is shown")
    parser.add_argument("--seconds", type=float, default=30.0, help="of pickup and rest")
    parser.add_argument("--minutes", type=_positive, default=3, help="of limits")
    parser.add_argument("--long", action="store_true", help=f"scale up to {LONG_SIZE:,} tasks")
    parser.add_argument("--json", action="store_true", help="every run instead of the medians")
    given = parser.parse_args(arguments)
    scenarios = tuple(one for one in Scenario if one in given.names)
    contenders = tuple(one for one in Contender if one in given.names)
    strange = [name for name in given.names if name not in {*Scenario, *Contender}]
    if strange or not scenarios:
        parser.error(
            f"unknown: {', '.join(strange)}; known: {names}" if strange else f"no scenario; known: {names}"
        )
    return Wanted(
        scenarios, contenders, given.tasks, given.repeat, given.seconds, given.minutes, given.long, given.json
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
