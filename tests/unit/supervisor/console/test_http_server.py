"""The names that the HTTP port answers to."""

import socket

import pytest

from supervisor.console.http_server import AllowedHosts


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8001", True),
        ("10.42.0.7", True),
        ("[::1]:8001", True),
        ("[fe80::1]", True),
        ("localhost:8001", True),
        ("LOCALHOST.", True),
        ("ai-task-processor:8001", True),
        ("ai-task-processor.prod.svc:8001", True),
        ("ai-task-processor.prod.svc.cluster.local", True),
        ("host.docker.internal:8001", True),
        (f"{socket.gethostname()}:8001", True),
        ("listen.example.com:8001", True),
        ("Status.Example.com.", True),
        ("evil.example", False),
        ("status.example.com.evil.example", False),
        ("xstatus.example.com", False),
        ("local.evil.example", False),
        ("evillocal.example", False),
        ("127.0.0.1.evil.example:8001", False),
        ("127.1.evil.example", False),
        ("user@evil.example:80", False),
        ("evil.example:localhost", False),
        ("[::1", False),
        ("[::1].evil.example", False),
        ("evil.example/.local", False),
        (None, True),
    ],
)
def test_allowed_are_addresses_private_names_and_those_of_the_settings(
    host: str | None, allowed: bool
) -> None:
    assert AllowedHosts(["listen.example.com", " status.example.com ", ""]).allows(host) is allowed


def test_star_allows_all() -> None:
    assert AllowedHosts(["*"]).allows("evil.example")
