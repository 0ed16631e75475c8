"""A server on loopback that speaks bytes, for peers that are no HTTP servers, or hardly."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket, threading.Event], None]


class RawServer:
    """`port`, and how many connections were `accepted`."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.accepted = 0


@contextlib.contextmanager
def raw_server(talk: Talk, host: str = "127.0.0.1") -> Iterator[RawServer]:
    """Calls `talk` with each connection, and with an event that is set at the end."""
    closing = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server((host, 0)) as listener:
        listener.settimeout(0.02)
        server = RawServer(listener)

        def converse(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                talk(connection, closing)

        def accept() -> None:
            while not closing.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connection.settimeout(5.0)
                server.accepted += 1
                threads.append(threading.Thread(target=converse, args=(connection,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept, name="raw-server")
        acceptor.start()
        try:
            yield server
        finally:
            closing.set()
            acceptor.join()
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def black_hole(host: str, port: int) -> Iterator[None]:
    """An address that answers no connection: its queue is full and nobody takes from it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield
