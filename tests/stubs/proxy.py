"""An HTTP proxy on loopback that lets through or refuses, and notes what it was asked for."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 65536


class StubProxy:
    """Tunnels CONNECT, forwards the rest. With `refusal`, a whole answer, it says that instead.

    `aliases` are hosts that only the proxy knows, with the addresses that they have.
    """

    def __init__(self, refusal: bytes = b"", aliases: Mapping[str, str] | None = None) -> None:
        self.refusal = refusal
        self._addresses = {host: urlsplit(url) for host, url in (aliases or {}).items()}
        self.heads: list[str] = []
        """The heads of all requests."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                more = client.recv(CHUNK_BYTES)
                if not more:
                    return
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            self.heads.append(head.decode())
            if self.refusal:
                client.sendall(self.refusal)
                return
            self._forward(client, head, rest)

    def _forward(self, client: socket.socket, head: bytes, rest: bytes) -> None:
        method, target, version = head.partition(b"\r\n")[0].decode().split(" ")
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        address = self._addresses.get(parts.hostname or "", parts)
        with socket.create_connection((address.hostname or "", address.port or 80)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = f"{parts.path}?{parts.query}" if parts.query else parts.path
                lines = head.partition(b"\r\n")[2]
                server.sendall(f"{method} {path} {version}\r\n".encode() + lines + b"\r\n\r\n" + rest)
            self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._closing.is_set():
                for key, _ in selector.select(0.02):
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(CHUNK_BYTES)
                    if not data:
                        return
                    key.data.sendall(data)
