"""The provider's client where parts of the network fail: names, addresses, TLS, proxies, idle connections."""

import math
import socket
import threading
import time
from collections.abc import Callable, Sequence

import orjson
import pytest

from shared.errors import RetryableError, RetryReason
from shared.metrics import WorkerMetrics
from tests.stubs.provider_answer import Item, embeddings_json, vector_for
from tests.stubs.raw_tcp import black_hole, raw_server
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request, ScriptedServer
from workers.providers.base import Embeddings
from workers.providers.calls import ProviderCalls
from workers.providers.openai.client import OpenAIClient
from workers.providers.openai.http import ProviderHttp

TIMEOUT_SECONDS = 1.0
BODY = embeddings_json([Item(0, vector_for("a", 4))], model="m", tokens=1, floats=True)


class Connection:
    """The client as a worker has it."""

    def __init__(
        self, base_url: str, timeout_seconds: float = TIMEOUT_SECONDS, unit_seconds: float = math.inf
    ) -> None:
        calls = ProviderCalls(WorkerMetrics(), time.monotonic)
        calls.begin_unit("label", deadline=time.monotonic() + unit_seconds)
        self.http = ProviderHttp(timeout_seconds, time.monotonic, calls.left_seconds)
        self._client = OpenAIClient(
            key="sk-network-0123456789",
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            http=self.http,
            calls=calls,
            wall_clock=time.time,
            proxy=self.http.proxy_of(base_url),
        )

    def embed(self) -> Embeddings:
        return self._client.embed(["a"], "m", None)

    def trouble(self) -> RetryableError:
        """What a call ends in."""
        with self.http, pytest.raises(RetryableError) as caught:
            self.embed()
        return caught.value


def works(connection: Connection) -> bool:
    return [row.astype("float32").tolist() for row in connection.embed().vectors.good] == [
        vector_for("a", 4).tolist()
    ]


def good(_: Request) -> Answer:
    return Answer(200, BODY)


def resolves_to(monkeypatch: pytest.MonkeyPatch, addresses: Sequence[str], port: int) -> None:
    """Let every name have these addresses."""
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
    real = socket.getaddrinfo

    def lookup(host: str, *rest: object, **named: object) -> object:
        return answer if host == "provider.example" else real(host, *rest, **named)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.mark.parametrize("addresses", [["127.0.0.2", "127.0.0.1"], ["127.0.0.2", "127.0.0.3", "127.0.0.1"]])
def test_an_address_that_swallows_packets_does_not_keep_the_next_from_being_tried(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    with ScriptedServer(good) as server, black_hole("127.0.0.2", server.server_port):
        resolves_to(monkeypatch, addresses, server.server_port)
        connection = Connection(f"http://provider.example:{server.server_port}/v1")
        started = time.monotonic()
        with connection.http:
            assert works(connection)
        assert time.monotonic() - started < TIMEOUT_SECONDS
        assert server.connections == 1


def test_where_no_address_answers_the_call_ends_in_time_and_was_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ScriptedServer(good) as server:
        port = server.server_port
        with black_hole("127.0.0.2", port), black_hole("127.0.0.3", port):
            resolves_to(monkeypatch, ["127.0.0.2", "127.0.0.3"], port)
            started = time.monotonic()
            trouble = Connection(f"http://provider.example:{port}/v1", 0.5).trouble()
            assert time.monotonic() - started < 1.0
    assert trouble.reason is RetryReason.CONNECTION


def test_a_name_that_does_not_resolve_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    trouble = Connection("http://provider.example/v1").trouble()
    assert trouble.reason is RetryReason.CONNECTION
    assert "the name provider.example is not resolved" in str(trouble)
    assert "OPENAI_BASE_URL" in str(trouble)


def test_a_resolver_that_hangs_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(10))
    started = time.monotonic()
    trouble = Connection("http://provider.example/v1", 0.3).trouble()
    assert time.monotonic() - started < 1.0
    over.set()
    assert trouble.reason is RetryReason.CONNECTION
    assert "not resolved within" in str(trouble)


def drip(connection: socket.socket, closing: threading.Event) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
        connection.sendall(bytes([byte]))
        if closing.wait(0.02):
            return


def test_headers_that_drip_end_with_the_deadline() -> None:
    with raw_server(drip) as server:
        started = time.monotonic()
        trouble = Connection(f"http://127.0.0.1:{server.port}/v1", 0.4).trouble()
        assert time.monotonic() - started < 1.0
    assert trouble.reason is RetryReason.TIMEOUT


def test_call_ends_when_the_time_of_its_unit_is_over() -> None:
    with raw_server(drip) as server:
        started = time.monotonic()
        trouble = Connection(f"http://127.0.0.1:{server.port}/v1", 30.0, unit_seconds=0.5).trouble()
        assert time.monotonic() - started < 2.0
    assert trouble.reason is RetryReason.TIMEOUT
    assert "TASK_TIMEOUT_SECONDS" in str(trouble)


def test_call_is_not_begun_when_the_time_of_its_unit_is_over() -> None:
    with ScriptedServer(good) as server:
        trouble = Connection(f"{server.url}/v1", unit_seconds=0.0).trouble()
        assert server.requests == []
    assert trouble.reason is RetryReason.TIMEOUT


def answering(reply: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(reply)

    return talk


def test_https_where_the_server_speaks_http_was_never_sent() -> None:
    with raw_server(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        trouble = Connection(f"https://127.0.0.1:{server.port}/v1").trouble()
    assert trouble.reason is RetryReason.CONNECTION
    assert "TLS" in str(trouble)
    assert "OPENAI_BASE_URL" in str(trouble)


def test_http_where_the_server_speaks_https_is_said_so() -> None:
    with raw_server(answering(b"\x15\x03\x01\x00\x02\x02\x46")) as server:
        trouble = Connection(f"http://127.0.0.1:{server.port}/v1").trouble()
    assert trouble.reason is RetryReason.CONNECTION
    assert "speaks https" in str(trouble)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_with_its_variables(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://127.0.0.1:9")
    trouble = Connection(f"{scheme}://provider.example/v1").trouble()
    assert trouble.reason is RetryReason.CONNECTION
    assert "through the proxy http://127.0.0.1:9: " in str(trouble)
    assert str(trouble).endswith(", check HTTPS_PROXY and HTTP_PROXY")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
        (b"HTTP/1.1 403 Filtered\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"),
        (b"", ""),
        (b"garbage\r\n\r\n", ""),
    ],
)
def test_a_proxy_that_does_not_connect_is_named_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, reply: bytes, words: str
) -> None:
    with raw_server(answering(reply)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{proxy.port}")
        trouble = Connection("https://provider.example/v1").trouble()
        assert f"through the proxy http://127.0.0.1:{proxy.port}" in str(trouble)
    assert trouble.reason is RetryReason.CONNECTION
    assert words in str(trouble)
    assert "secret" not in str(trouble)


def test_a_proxy_that_is_silent_is_no_slow_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    def say_nothing(_: socket.socket, closing: threading.Event) -> None:
        closing.wait(5)

    with raw_server(say_nothing) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        trouble = Connection("https://provider.example/v1", 0.3).trouble()
    assert trouble.reason is RetryReason.CONNECTION


def test_a_call_goes_through_the_proxy_unless_the_host_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(good) as proxy, ScriptedServer(good) as provider:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for excepted, connections in (("", (1, 0)), ("127.0.0.1", (1, 1))):
            monkeypatch.setenv("NO_PROXY", excepted)
            connection = Connection(f"{provider.url}/v1")
            with connection.http:
                assert works(connection)
            assert (proxy.connections, provider.connections) == connections


def test_a_connection_that_was_closed_while_idle_costs_no_call() -> None:
    def close_on_second(request: Request) -> Answer:
        return good(request) if len(server.requests) != 2 else NO_ANSWER

    with ScriptedServer(close_on_second) as server:
        connection = Connection(f"{server.url}/v1")
        with connection.http:
            assert works(connection)
            assert works(connection)
        assert len(server.requests) == 3
        assert server.connections == 2


@pytest.mark.parametrize("answer", [NO_ANSWER, Answer(0, ending=Ending.RESET)])
def test_a_new_connection_that_ends_without_an_answer_is_not_tried_twice(answer: Answer) -> None:
    with ScriptedServer(lambda _: answer) as server:
        trouble = Connection(f"{server.url}/v1").trouble()
        assert len(server.requests) == 1
    assert trouble.reason is RetryReason.DISCONNECTED


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\nConnection: close\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ],
    ids=["1.0", "no phrase", "folded", "bare line feeds", "100 first"],
)
def test_old_ways_of_writing_http_are_understood(head: bytes) -> None:
    with ScriptedServer(lambda _: Answer(200, BODY, ending=Ending.CLOSE_UNSAID, head=head)) as server:
        connection = Connection(f"{server.url}/v1")
        with connection.http:
            assert works(connection)


def test_a_large_request_is_sent_whole() -> None:
    def count(request: Request) -> Answer:
        texts = orjson.loads(request.body)["input"]
        items = [Item(place, vector_for("a", 4)) for place, _ in enumerate(texts)]
        return Answer(200, embeddings_json(items, model="m", tokens=1, floats=True))

    with ScriptedServer(count) as server:
        http = ProviderHttp(5.0, time.monotonic)
        client = OpenAIClient(
            key="sk-1",
            base_url=f"{server.url}/v1",
            timeout_seconds=5.0,
            http=http,
            calls=ProviderCalls(WorkerMetrics(), time.monotonic),
            wall_clock=time.time,
        )
        with http:
            assert len(client.embed(["x" * 10_000] * 200, "m", None).vectors.good) == 200
