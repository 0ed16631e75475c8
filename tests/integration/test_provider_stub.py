"""The stub provider itself, where other tests lean on it most."""

import subprocess
import sys
from pathlib import Path

import requests

from tests.stubs.provider import StubProvider
from tests.stubs.provider_faults import RandomFaults, server_error

CHECKOUT = Path(__file__).parents[2]


def ask(url: str, *texts: str) -> int:
    body = {"model": "m", "input": list(texts)}
    return requests.post(f"{url}/v1/embeddings", json=body, timeout=10).status_code


def test_it_counts_what_was_paid_and_what_was_paid_again() -> None:
    with StubProvider(dimensions=4) as provider:
        provider.script(server_error())
        assert ask(provider.url, "a", "b") == 500
        assert ask(provider.url, "a", "b") == 200
        assert ask(provider.url, "b") == 200
        assert provider.wait_for_calls(3)
        assert provider.stats() == {
            "calls": 3,
            "texts": 5,
            "paid": 3,
            "paid_distinct": 2,
            "paid_again": {"b": 1},
            "faults": {"server_error": 1, "none": 2},
        }


def test_faults_at_random_are_the_same_for_the_same_seed() -> None:
    def names(seed: int) -> list[str | None]:
        policy = RandomFaults({"429": 0.2, "500": 0.2, "reset": 0.1}, seed)
        return [fault.name if fault else None for fault in (policy([]) for _ in range(200))]

    assert names(7) == names(7) != names(8)
    assert 60 < sum(name is not None for name in names(7)) < 140


def test_it_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.stubs.provider", "--dimensions", "4", "--rate-500", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        try:
            assert process.stdout is not None
            name, url = process.stdout.readline().split()
            assert name == "provider"
            assert ask(url, "a") == 500
            assert requests.get(f"{url}/stats", timeout=10).json()["faults"] == {"server_error": 1}
        finally:
            process.terminate()
        assert process.wait(10) == 0
