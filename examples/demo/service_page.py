"""What the demo reads from the service's own HTTP port."""

from dataclasses import dataclass

import requests
from prometheus_client.parser import text_string_to_metric_families

REQUEST_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ProviderCalls:
    """How often the service called the provider, and how many texts a call had on average."""

    calls: int
    texts_a_call: float | None


def read_provider_calls(url: str) -> ProviderCalls | None:
    """From `/metrics` under `url`; None where it does not answer or does not say."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy in the environment is not for loopback
            response = session.get(f"{url}/metrics", timeout=REQUEST_SECONDS)
            response.raise_for_status()
        return parse_provider_calls(response.text)
    except (requests.RequestException, ValueError):
        return None


def parse_provider_calls(exposition: str) -> ProviderCalls | None:
    """From Prometheus text; raises ValueError where it is none."""
    sums = {"openai_requests_total": 0.0, "openai_batch_size_sum": 0.0, "openai_batch_size_count": 0.0}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name in sums:
                sums[sample.name] += sample.value
    calls, batches = int(sums["openai_requests_total"]), sums["openai_batch_size_count"]
    if calls == 0:
        return None
    return ProviderCalls(calls, sums["openai_batch_size_sum"] / batches if batches else None)
