"""`python -m examples.task_api`: the reference task API as a process of its own."""

import argparse
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path

from examples.task_api.server import TaskApiServer


def main() -> int:
    parser = argparse.ArgumentParser("python -m examples.task_api", description="A reference task API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file; made when missing")
    parser.add_argument(
        "--token-env",
        default="API_TOKEN",
        metavar="NAME",
        help="environment variable with the bearer token (default %(default)s); unset or empty: open to all",
    )
    options = parser.parse_args()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a request that waits is no event
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread exists, so that each of them leaves the signals to sigwait below.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    try:
        token = os.environ.get(options.token_env)
        server = TaskApiServer(options.database, token, options.host, options.port)
    except (OSError, OverflowError, sqlite3.Error) as error:
        print(f"cannot serve {options.database} on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"task API {server.url}", flush=True)
        signal.sigwait(stop_signals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
