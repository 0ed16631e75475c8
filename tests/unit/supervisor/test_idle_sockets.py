"""Kept connections on which something came in that nobody asked for are not used again."""

import os
import socket
from collections.abc import Iterator

import pytest

from supervisor.task_api.idle_sockets import IdleSockets


@pytest.fixture
def idle() -> IdleSockets:
    return IdleSockets()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and theirs."""
    ours, theirs = tcp_pair()
    with ours, theirs:
        yield ours, theirs


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


def can_write(sock: socket.socket) -> bool:
    try:
        sock.send(b"x")
    except BrokenPipeError:
        return False
    return True


def test_quiet_connection_is_used_again(idle: IdleSockets, ends: tuple[socket.socket, socket.socket]) -> None:
    idle.add(ends[0].fileno())
    assert not idle.any_broken()
    assert can_write(ends[0])


def test_connection_that_says_something_is_broken_until_it_is_closed(
    idle: IdleSockets, ends: tuple[socket.socket, socket.socket]
) -> None:
    idle.add(ends[0].fileno())
    ends[1].send(b"stray")
    assert idle.any_broken()
    assert not can_write(ends[0])
    assert idle.any_broken()
    ends[0].close()
    assert not idle.any_broken()


def test_connection_in_use_is_not_looked_at(
    idle: IdleSockets, ends: tuple[socket.socket, socket.socket]
) -> None:
    idle.add(ends[0].fileno())
    idle.remove(ends[0].fileno())
    ends[1].send(b"an answer")
    assert not idle.any_broken()
    assert can_write(ends[0])


def test_connection_of_http_2_may_say_something(
    idle: IdleSockets, ends: tuple[socket.socket, socket.socket]
) -> None:
    idle.add(ends[0].fileno())
    idle.pass_over(ends[0].fileno())
    idle.add(ends[0].fileno())
    ends[1].send(b"a ping")
    assert not idle.any_broken()
    assert can_write(ends[0])


def test_file_that_took_the_number_of_a_closed_connection_is_left_alone(idle: IdleSockets) -> None:
    ours, theirs = tcp_pair()
    number = ours.fileno()
    idle.add(number)
    theirs.close()
    ours.close()
    # The kernel gives the lowest number that is free.
    pair = {end.fileno(): end for end in socket.socketpair()}
    taken = pair.pop(number)
    (far_end,) = pair.values()
    with taken, far_end:
        far_end.send(b"for somebody else")
        assert not idle.any_broken()
        assert can_write(taken)


def test_what_libcurl_uses_for_itself_is_left_alone(idle: IdleSockets) -> None:
    signal = os.eventfd(1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        idle.add(signal)
        idle.add(ours.fileno())
        theirs.send(b"x")
        assert not idle.any_broken()
        assert can_write(ours)
    os.close(signal)
