"""Kept connections on which something came in that nobody asked for are not used again."""

import os
import socket
from collections.abc import Iterator

import pycurl
import pytest

from supervisor.task_api.http.wire import Sockets

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def wake_descriptor() -> Iterator[int]:
    descriptor = os.eventfd(0)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def sockets(wake_descriptor: int) -> Iterator[Sockets]:
    sockets = Sockets(wake_descriptor)
    yield sockets
    sockets.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Ours and theirs."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def use(sockets: Sockets, sock: socket.socket) -> None:
    """A request is sent on it, and its answer waited for."""
    sockets.watch(pycurl.POLL_OUT, sock.fileno())
    sockets.watch(pycurl.POLL_IN, sock.fileno())


def keep(sockets: Sockets, sock: socket.socket) -> None:
    """The answer is read, and the connection kept."""
    use(sockets, sock)
    sockets.watch(pycurl.POLL_REMOVE, sock.fileno())


def can_write(sock: socket.socket) -> bool:
    try:
        sock.send(b"x")
    except BrokenPipeError:
        return False
    return True


def test_wait_ends_with_what_libcurl_waits_for(sockets: Sockets, ends: Ends) -> None:
    number = ends[0].fileno()
    sockets.watch(pycurl.POLL_OUT, number)
    assert sockets.wait(0.0) == [(number, pycurl.CSELECT_OUT)]
    sockets.watch(pycurl.POLL_IN, number)
    assert sockets.wait(0.0) == []
    ends[1].send(b"an answer")
    assert sockets.wait(None) == [(number, pycurl.CSELECT_IN)]


def test_wait_ends_with_each_wake_once(sockets: Sockets, wake_descriptor: int) -> None:
    for _ in range(3):
        os.eventfd_write(wake_descriptor, 1)
        assert sockets.wait(None) == []


def test_wake_is_not_lost_to_a_look_at_idle_connections(
    sockets: Sockets, ends: Ends, wake_descriptor: int
) -> None:
    keep(sockets, ends[0])
    os.eventfd_write(wake_descriptor, 1)
    sockets.shut_stale()
    assert sockets.wait(None) == []


def test_quiet_connection_is_used_again(sockets: Sockets, ends: Ends) -> None:
    keep(sockets, ends[0])
    sockets.shut_stale()
    use(sockets, ends[0])
    ends[1].send(b"an answer")
    assert sockets.wait(0.0) == [(ends[0].fileno(), pycurl.CSELECT_IN)]
    sockets.shut_stale()
    assert can_write(ends[0])


@pytest.mark.parametrize("wait_first", [False, True])
def test_connection_that_says_something_is_broken(sockets: Sockets, ends: Ends, wait_first: bool) -> None:
    keep(sockets, ends[0])
    ends[1].send(b"stray")
    if wait_first:
        assert sockets.wait(0.0) == []
    sockets.shut_stale()
    assert not can_write(ends[0])


def test_connection_that_is_closed_by_the_other_side_is_broken(sockets: Sockets, ends: Ends) -> None:
    keep(sockets, ends[0])
    ends[1].close()
    sockets.shut_stale()
    assert not can_write(ends[0])


def test_what_comes_in_just_as_a_connection_turns_idle_is_seen(sockets: Sockets, ends: Ends) -> None:
    use(sockets, ends[0])
    sockets.wait(0.0)
    ends[1].send(b"stray")
    sockets.watch(pycurl.POLL_REMOVE, ends[0].fileno())
    sockets.shut_stale()
    assert not can_write(ends[0])


def test_connection_of_http_2_may_say_something(sockets: Sockets, ends: Ends) -> None:
    keep(sockets, ends[0])
    sockets.ignore_while_idle(ends[0].fileno())
    keep(sockets, ends[0])
    ends[1].send(b"a ping")
    assert sockets.wait(0.0) == []
    sockets.shut_stale()
    assert can_write(ends[0])


def test_number_of_a_closed_connection_may_be_that_of_a_new_one(sockets: Sockets, ends: Ends) -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    keep(sockets, ours)
    theirs.close()
    ours.close()
    sockets.shut_stale()
    # The kernel gives the lowest number that is free.
    pair = {end.fileno(): end for end in socket.socketpair()}
    new = pair.pop(number)
    (far_end,) = pair.values()
    with new, far_end:
        far_end.send(b"for somebody else")
        sockets.shut_stale()
        assert can_write(new)
        use(sockets, new)
        assert sockets.wait(0.0) == [(number, pycurl.CSELECT_IN)]


def test_what_libcurl_uses_for_itself_is_left_alone(sockets: Sockets, ends: Ends) -> None:
    signal = os.eventfd(1)
    for number in (signal, ends[0].fileno()):
        sockets.watch(pycurl.POLL_IN, number)
        sockets.watch(pycurl.POLL_REMOVE, number)
    ends[1].send(b"x")
    assert sockets.wait(0.0) == []
    sockets.shut_stale()
    assert can_write(ends[0])
    os.close(signal)
