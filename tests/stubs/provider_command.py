"""The stub provider as a process of its own; see `tests.stubs.provider`."""

import argparse
import signal

from tests.stubs.provider import StubProvider
from tests.stubs.provider_answer import DEFAULT_DIMENSIONS
from tests.stubs.provider_faults import RandomFaults

RATES = ("429", "500", "hang", "hang_in_body", "reset", "garbage", "fewer")


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    options = _options()
    rates = {name: getattr(options, f"rate_{name}") for name in RATES}
    provider = StubProvider(
        port=options.port,
        dimensions=options.dimensions,
        latency_seconds=options.latency_ms / 1000,
        latency_per_text_seconds=options.latency_per_text_ms / 1000,
        policy=RandomFaults(rates, options.seed, options.retry_after),
    )
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with provider:
        print(f"provider {provider.url}", flush=True)
        signal.sigwait(stop)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dimensions", type=int, default=DEFAULT_DIMENSIONS)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--latency-per-text-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--retry-after", type=float, default=1.0, help="seconds, of a 429")
    for name in RATES:
        parser.add_argument(f"--rate-{name.replace('_', '-')}", dest=f"rate_{name}", type=float, default=0.0)
    return parser.parse_args()
