"""The command line of the AI task processor. `python run.py --help` lists the commands."""

import sys


def main() -> int:
    # Imported here because every worker process reads this file as its main module.
    from supervisor.cli import main as command  # noqa: PLC0415

    return command()


if __name__ == "__main__":
    sys.exit(main())
