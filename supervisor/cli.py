"""The command line: which command, and what its end means to the shell."""

import argparse
import sys
from collections.abc import Callable, Sequence

from shared.errors import ConfigurationError
from shared.settings import load_settings
from supervisor.exit_codes import ExitCode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ConfigurationError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)  # noqa: T201  for the person at the terminal
        return ExitCode.CONFIGURATION


# Each command imports what it needs when it is called: the demo wants no service in its process, and the
# service must start without what only the demo needs.


def _run(_: argparse.Namespace) -> int:
    from supervisor.main import run  # noqa: PLC0415

    return run(load_settings())


def _demo(options: argparse.Namespace) -> int:
    from examples.demo.runner import run_demo  # noqa: PLC0415

    return run_demo(tasks=options.tasks, keep=options.keep)


def _check(_: argparse.Namespace) -> int:
    from supervisor.check import run_check  # noqa: PLC0415

    return run_check()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Runs AI tasks from an HTTP API.")
    parser.set_defaults(run=_run)
    commands = parser.add_subparsers(metavar="COMMAND")
    commands.add_parser("run", help="run the service (the default)").set_defaults(run=_run)
    demo = commands.add_parser("demo", help="run it against a reference API with real texts")
    demo.add_argument("--tasks", type=int, metavar="N", help="how many tasks (default: all texts)")
    demo.add_argument("--keep", action="store_true", help="leave the service up to look at")
    demo.set_defaults(run=_demo)
    check = commands.add_parser("check", help="check settings, state directory, API and provider")
    check.set_defaults(run=_check)
    return parser
