"""The HTTP port, without the service behind it."""

import contextlib
import gc
import http.client
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace

import orjson
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from shared.errors import ConfigurationError
from supervisor.console.gauges import StatusGauges
from supervisor.console.http_server import LOOP_SILENT_SECONDS, MetricsServer
from supervisor.console.wake import WakeEndpoint
from supervisor.runtime.events import Event, WakeRequested
from supervisor.status.status import NotReady, StatusBoard
from tests.fakes.clock import Clock
from tests.unit.supervisor.status.statuses import WORKING

WAKE_TOKEN = "integration-wake-token"
PROBES = ("/health", "/ready")
ALL_PATHS = ("/", "/health", "/ready", "/metrics", "/status")


class Served:
    """A server, its board, and what its thread had to say."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, wake_token: str | None = None) -> None:
        self.host = "127.0.0.1"
        self.clock = Clock()
        self.board = StatusBoard()
        self.events: list[Event] = []
        registry = CollectorRegistry()
        registry.register(StatusGauges(self.board))
        wake_endpoint = WakeEndpoint(
            SecretStr(wake_token) if wake_token else None, self.events.append, self.clock
        )
        self.server = MetricsServer(host, port, self.board, registry, wake_endpoint, self.clock)
        self.server.start(self.events.append)

    def get(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self.host, self.server.port, timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.server.close()


def test_before_the_first_look_it_is_alive_and_not_ready(served: Served) -> None:
    assert served.get("/health")[0] == 200
    status, _, body = served.get("/ready")
    assert (status, orjson.loads(body)) == (503, {"status": "not_ready", "reasons": ["starting"]})
    assert served.get("/status")[0] == 503
    assert served.get("/metrics")[0] == 200
    assert served.get("/")[0] == 200


def test_ready_gives_every_reason(served: Served) -> None:
    served.board.publish(WORKING, served.clock())
    assert served.get("/ready")[::2] == (200, b'{"status":"ready"}')
    served.board.publish(replace(WORKING, not_ready=tuple(NotReady)), served.clock())
    status, _, body = served.get("/ready")
    assert status == 503
    assert orjson.loads(body)["reasons"] == list(NotReady)


def test_health_fails_once_the_loop_has_been_silent_too_long(served: Served) -> None:
    served.board.publish(WORKING, served.clock())
    served.clock.advance(LOOP_SILENT_SECONDS)
    assert served.get("/health")[0] == 200
    served.clock.advance(0.1)
    status, _, body = served.get("/health")
    assert (status, orjson.loads(body)["status"]) == (503, "stuck")
    served.board.publish(WORKING, served.clock())
    assert served.get("/health")[0] == 200


def test_metrics_are_what_prometheus_reads(served: Served) -> None:
    served.board.publish(WORKING, served.clock())
    status, headers, body = served.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"ai_tasks_in_flight", "ai_workers", "circuit_breaker_state"} <= names


def test_it_serves_reads_of_what_there_is_and_no_more(served: Served) -> None:
    for path in ALL_PATHS:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert served.get(path, method)[0] == 405
        assert served.get(path, "HEAD")[2] == b""
    for path in ("/nothing", "/metrics/", "/..%2f..%2fetc/passwd", "/status%00"):
        assert served.get(path)[0] == 404


def test_no_answer_may_be_cached_or_framed_or_names_the_server(served: Served) -> None:
    for path in (*ALL_PATHS, "/nothing"):
        headers = served.get(path)[1]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in headers


def test_taken_port_is_a_fault_of_the_settings(served: Served) -> None:
    taken = f"127.0.0.1:{served.server.port}"
    with pytest.raises(ConfigurationError, match=f"METRICS_PORT: cannot listen on {taken}"):
        Served(port=served.server.port)
    gc.collect()


def test_unknown_host_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigurationError, match="METRICS_HOST"):
        Served(host="no.such.host.invalid")


def test_host_with_several_addresses_is_served() -> None:
    served = Served(host="localhost")
    assert served.get("/health")[0] == 200
    served.server.close()


@pytest.mark.parametrize("host", ["::", "[::]"])
def test_all_addresses_of_ipv6_are_those_of_ipv4_too(host: str) -> None:
    served = Served(host=host)
    for address in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
        served.host = address
        assert served.get("/health")[0] == 200
    served.server.close()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_pages_are_not_read_by_a_name_that_a_web_page_may_have_and_probes_are(served: Served) -> None:
    served.board.publish(WORKING, served.clock())
    for path in ALL_PATHS:
        found = {
            host: served.get(path, headers={"Host": host})[0] for host in ("10.1.2.3:8001", "evil.example")
        }
        assert found == {"10.1.2.3:8001": 200, "evil.example": 200 if path in PROBES else 403}
    assert b"METRICS_ALLOWED_HOSTS" in served.get("/status", headers={"Host": "evil.example"})[2]


def test_bell_rings_for_the_token_alone_and_not_too_often() -> None:
    served = Served(wake_token=WAKE_TOKEN)
    good = {"Authorization": f"Bearer {WAKE_TOKEN}"}
    assert served.get("/wake", "POST", good)[0] == 202
    for wrong in ({}, {"Authorization": WAKE_TOKEN}, {"Authorization": "Bearer \u00e9"}):
        assert served.get("/wake", "POST", wrong)[0] == 401
    assert served.events == [WakeRequested()]
    assert [served.get("/wake", method, good)[0] for method in ("GET", "PUT")] == [404, 404]
    statuses = [served.get("/wake", "POST", good)[0] for _ in range(30)]
    assert statuses == sorted(statuses)
    assert set(statuses) == {202, 429}
    served.clock.advance(1.0)
    assert served.get("/wake", "POST", good)[0] == 202
    served.server.close()


def test_without_a_token_there_is_no_bell(served: Served) -> None:
    assert served.get("/wake", "POST", {"Authorization": "Bearer "})[0] == 404
    assert served.events == []
