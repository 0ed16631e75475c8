"""The command line of the AI task processor. `python run.py --help` lists the commands."""

import sys


def main() -> int:
    if sys.version_info < (3, 11, 0, "final"):
        print(f"Python 3.11 or later is needed, and this is {sys.version.split()[0]}", file=sys.stderr)  # noqa: T201
        return 2
    # Imported here because every worker process reads this file as its main module.
    from supervisor.runtime.process import open_standard_streams  # noqa: PLC0415

    open_standard_streams()  # before anything else is opened
    from supervisor.cli import main as command  # noqa: PLC0415

    return command()


if __name__ == "__main__":
    sys.exit(main())
