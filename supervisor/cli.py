"""The command line: which command, and what its end means to the shell."""

import argparse
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

from shared.errors import ConfigurationError
from shared.loading import load_service_location, load_settings
from shared.plain_text import visible
from supervisor.journal.state_directory import JOURNAL_FILE
from supervisor.journal.task_record import TaskState
from supervisor.runtime.process import ExitCode

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = 128 + signal.SIGINT
NO_ROOM_FOR_OUTPUT = (errno.EPIPE, errno.ENOSPC)
METRIC_FILE_VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
"""Those of another program's metric files must not be ours. Prometheus' library reads them when imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    for name in METRIC_FILE_VARIABLES:
        os.environ.pop(name, None)
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        for fault in error.faults:
            print(visible(fault), file=sys.stderr)  # noqa: T201  for the person at the terminal
        return ExitCode.CONFIGURATION
    except OSError as error:
        if error.errno not in NO_ROOM_FOR_OUTPUT:
            raise
        # `head` has seen enough, or the disk is full. At its end the interpreter flushes again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


# Each command imports what it needs when it is called: the demo wants no service in its process, and the
# service must start without what only the demo needs.


def _run(_: argparse.Namespace) -> int:
    # A signal that comes while the service is being put together waits until there is a handler. All others
    # are let through: with SIGCHLD blocked by whoever started the service, no death of a worker is noticed.
    signal.pthread_sigmask(signal.SIG_SETMASK, STOP_SIGNALS)
    gc.disable()  # until `calm_collector`: nothing that is imported here is garbage
    from supervisor.main import run  # noqa: PLC0415

    return run(load_settings())


def _demo(options: argparse.Namespace) -> int:
    from examples.demo.runner import run_demo  # noqa: PLC0415

    return run_demo(tasks=options.tasks, keep=options.keep)


def _check(_: argparse.Namespace) -> int:
    from supervisor.console.preflight.check import run_check  # noqa: PLC0415

    return run_check()


def _processors(_: argparse.Namespace) -> int:
    from supervisor.console.processors_command import run_processors  # noqa: PLC0415

    return run_processors()


def _new_processor(options: argparse.Namespace) -> int:
    from supervisor.console.new_processor import new_processor  # noqa: PLC0415

    return new_processor(options.name, options.directory)


def _status(options: argparse.Namespace) -> int:
    from supervisor.console.status_command import run_status, service_url  # noqa: PLC0415

    url = options.url or service_url(load_service_location())
    return run_status(url, as_json=options.json, watch=options.watch)


def _journal(options: argparse.Namespace) -> int:
    from supervisor.console.journal_command import JournalCommand  # noqa: PLC0415

    command = JournalCommand(load_service_location().state_dir / JOURNAL_FILE)
    act: Callable[[JournalCommand, argparse.Namespace], int] = options.act
    return act(command, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Runs AI tasks from an HTTP API.")
    parser.set_defaults(run=_run)
    commands = parser.add_subparsers(metavar="COMMAND")
    commands.add_parser("run", help="run the service (the default)").set_defaults(run=_run)
    demo = commands.add_parser("demo", help="run it against a reference API with real texts")
    demo.add_argument("--tasks", type=int, metavar="N", help="how many tasks (default: all texts)")
    demo.add_argument("--keep", action="store_true", help="leave the service up to look at")
    demo.set_defaults(run=_demo)
    check = commands.add_parser(
        "check", help="check settings, machine, API and provider by the service's own means"
    )
    check.set_defaults(run=_check)
    processors = commands.add_parser("processors", help="the task types there are, and what is broken")
    processors.set_defaults(run=_processors)
    new = commands.add_parser("new-processor", help="write a package with a task type of your own")
    new.add_argument("name", help="the task type, such as text-sentiment")
    new.add_argument("directory", nargs="?", metavar="DIR", help="where (default: a directory of that name)")
    new.set_defaults(run=_new_processor)
    status = commands.add_parser("status", help="what the running service does, and why not more")
    status.add_argument("--watch", action="store_true", help="show it anew every 2 s until Ctrl-C")
    status.add_argument("--json", action="store_true", help="as JSON; docs/status.schema.json describes it")
    status.add_argument("--url", metavar="URL", help="where the service is (default: from METRICS_PORT)")
    status.set_defaults(run=_status)
    _add_journal(
        commands.add_parser("journal", help="what the journal holds; retry and drop rejected reports")
    )
    return parser


def _add_journal(journal: argparse.ArgumentParser) -> None:
    journal.set_defaults(run=_journal)
    acts = journal.add_subparsers(metavar="ACT", required=True)
    listed = acts.add_parser("list", help="its tasks, the oldest first")
    states = [state.value for state in TaskState]
    listed.add_argument("--state", choices=states, help="only tasks in this state")
    listed.add_argument("--limit", type=int, default=200, metavar="N", help="how many at most (default 200)")
    listed.set_defaults(act=lambda command, options: command.list(options.state, options.limit))
    show = acts.add_parser("show", help="all about one task but its text and vector")
    show.add_argument("id")
    show.add_argument("--body", action="store_true", help="print the report that the API is to get")
    show.set_defaults(act=lambda command, options: command.show(options.id, body=options.body))
    retry = acts.add_parser("retry", allow_abbrev=False, help="send rejected reports once more")
    retry.set_defaults(act=lambda command, options: command.retry(options.id, every=options.all))
    drop = acts.add_parser("drop", allow_abbrev=False, help="forget rejected reports and their results")
    drop.set_defaults(act=lambda command, options: command.drop(options.id, every=options.all))
    for act in (retry, drop):
        act.add_argument(
            "id",
            nargs="*",
            help="ids of tasks whose report was rejected, as `list` writes them; put -- first",
        )
        act.add_argument("--all", action="store_true", help="all rejected reports")
