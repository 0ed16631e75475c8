"""`python -m tests.chaos --seed 1`: one chaos run, its table, and exit 1 for a broken promise."""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from shared.settings import ClaimMode
from tests.chaos.course import Course
from tests.chaos.faulty_provider import ProviderFault
from tests.chaos.plan import Plan


def main() -> int:
    options = _options()
    plan = Plan(
        tasks=options.tasks,
        seed=options.seed,
        worker_kill_seconds=options.worker_kill_seconds,
        supervisor_kills=options.supervisor_kills,
        claims=options.claims,
        bulk_reports=options.bulk,
        threads=options.threads,
        limit_seconds=options.limit_seconds,
    )
    if options.errors is not None:
        rates = {ProviderFault.TOO_MANY: options.errors, ProviderFault.BROKEN: options.errors}
        plan = replace(plan, provider_rates=rates)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Course(plan, folder).run()
    broken = outcome.broken_promises()
    print(outcome.table())
    print("\n".join(f"BROKEN: {promise}" for promise in broken) or "every promise held", flush=True)
    if broken:
        print(f"logs, journal and the API's database are in {folder}")
    elif not options.folder:
        shutil.rmtree(folder)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    usual = Plan()
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--tasks", type=int, default=usual.tasks)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--worker-kill-seconds", type=float, default=usual.worker_kill_seconds)
    parser.add_argument("--supervisor-kills", type=int, default=usual.supervisor_kills)
    parser.add_argument("--threads", type=int, default=usual.threads, help="WORKER_THREADS")
    parser.add_argument(
        "--claims", type=ClaimMode, choices=ClaimMode, default=usual.claims, help="CLAIM_MODE"
    )
    parser.add_argument("--bulk", type=int, metavar="N", default=usual.bulk_reports, help="BULK_REPORTS")
    parser.add_argument(
        "--errors", type=float, metavar="RATE", help="the provider answers this share by 429, as many by 500"
    )
    parser.add_argument("--limit-seconds", type=float, default=usual.limit_seconds)
    parser.add_argument("--folder", type=Path, help="empty, and kept (default: a temporary one)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
