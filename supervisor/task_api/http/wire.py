"""All HTTP to the task API, in one thread on libcurl's multi interface."""

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pycurl

from supervisor.runtime.events import Event, start_thread
from supervisor.task_api.http.exchange import Credential, Exchange, FailedStep, NoResponse, Response, Withheld
from supervisor.task_api.http.transfer import MILLISECONDS, Request, Transfer, Transport

THREAD_NAME = "wire"
READABLE = select.EPOLLIN


class RequestQueue:
    """Requests that wait for the wire. At most `at_once` of them are under way.

    One thread puts and takes back while the wire's thread takes: each is one operation of a deque.
    """

    def __init__(self, at_once: int, wake: Callable[[], None]) -> None:
        self.at_once = at_once
        self.under_way = 0
        """Owned by the wire's thread."""
        self._wake = wake
        self._waiting: deque[Request] = deque()

    def put(self, request: Request) -> None:
        self._waiting.append(request)
        self._wake()

    def next(self) -> Request | None:
        """The oldest request that waits."""
        with contextlib.suppress(IndexError):
            return self._waiting.popleft()
        return None

    def take_back(self) -> list[Request]:
        """The requests that are not begun, in order."""
        taken: list[Request] = []
        while (request := self.next()) is not None:
            taken.append(request)
        return taken


@dataclass(slots=True)
class _Job:
    """A request that has left its queue."""

    queue: RequestQueue
    request: Request
    is_second: bool = False
    """It was refused with another credential before."""
    fresh: bool = False
    """It needs a new connection."""
    credential: str = ""
    began_at: float = 0.0


class Wire:
    """Other threads put requests into its queues; everything else happens in its own thread."""

    def __init__(
        self, transport: Transport, post: Callable[[Event], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._transport = transport
        self._post = post
        self._clock = clock
        self._queues: list[RequestQueue] = []
        self._idle: list[Transfer] = []
        self._under_way: dict[pycurl.Curl, tuple[Transfer, _Job]] = {}
        self._timer_at: float | None = None
        self._closing = False
        self._woken = False
        self._wake_descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._sockets = Sockets(self._wake_descriptor)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._sockets.watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._thread: threading.Thread | None = None

    def new_queue(self, at_once: int) -> RequestQueue:
        """A queue for one kind of caller. Call before `start`."""
        queue = RequestQueue(at_once, self._wake)
        self._queues.append(queue)
        return queue

    def start(self) -> None:
        self._thread = start_thread(THREAD_NAME, self._work, self._post)

    def close(self) -> None:
        """End the thread and drop what is under way. Put nothing into a queue after this."""
        self._closing = True
        self._wake()
        if self._thread is not None:
            self._thread.join()
        self._sockets.close()
        os.close(self._wake_descriptor)

    def _wake(self) -> None:
        # The wire clears the mark before it looks into the queues, so nothing put while it is set is missed.
        if not self._woken:
            self._woken = True
            os.eventfd_write(self._wake_descriptor, 1)

    def _work(self) -> None:
        try:
            while not self._closing:
                ready = self._sockets.wait(self._seconds_to_timer())
                self._woken = False
                for descriptor, actions in ready:
                    self._multi.socket_action(descriptor, actions)
                self._advance()
        finally:
            self._release()

    def _advance(self) -> None:
        """Take in what is done, begin what waits, and let libcurl's timer run."""
        self._take_in_done()
        self._begin_waiting()
        while self._timer_at is not None and self._clock() >= self._timer_at:
            self._timer_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._take_in_done()
            self._begin_waiting()

    def _begin_waiting(self) -> None:
        for queue in self._queues:
            while queue.under_way < queue.at_once and (request := queue.next()) is not None:
                queue.under_way += 1
                self._authorize(_Job(queue, request))

    def _authorize(self, job: _Job) -> None:
        job.request.kind.authorization.obtain(partial(self._begin, job))

    def _begin(self, job: _Job, credential: Credential) -> None:
        now = self._clock()
        if isinstance(credential, Withheld):
            step, wait = FailedStep.NOT_SENT, credential.retry_after_seconds
            self._hand_over(job, NoResponse(step, credential.detail, now, 0.0, wait))
            return
        transfer = self._idle.pop() if self._idle else Transfer(self._transport.new_handle())
        self._sockets.shut_stale()
        transfer.prepare(job.request, credential, fresh=job.fresh)
        job.credential, job.began_at = credential, now
        self._under_way[transfer.handle] = (transfer, job)
        self._multi.add_handle(transfer.handle)

    def _take_in_done(self) -> None:
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            for handle in done:
                self._finish(handle, 0, "")
            for handle, code, message in failed:
                self._finish(handle, code, message)

    def _finish(self, handle: pycurl.Curl, code: int, message: str) -> None:
        transfer, job = self._under_way.pop(handle)
        if (descriptor := transfer.multiplexed_socket()) is not None:
            self._sockets.ignore_while_idle(descriptor)
        self._multi.remove_handle(handle)
        got = transfer.take_result(code, message, job.began_at, self._clock() - job.began_at)
        self._idle.append(transfer)
        if code == pycurl.E_SEND_ERROR and not job.fresh:
            # Libcurl has tried several kept connections, and all were dead.
            job.fresh = True
            self._begin(job, job.credential)
            return
        authorization = job.request.kind.authorization
        refused = isinstance(got, Response) and authorization.on_response(job.credential, got.status)
        if refused and not job.is_second:
            job.is_second = True
            self._authorize(job)
        else:
            self._hand_over(job, got)

    def _hand_over(self, job: _Job, got: Exchange) -> None:
        job.queue.under_way -= 1
        job.request.on_done(got)

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = None if milliseconds < 0 else self._clock() + milliseconds / MILLISECONDS

    def _seconds_to_timer(self) -> float | None:
        return None if self._timer_at is None else max(0.0, self._timer_at - self._clock())

    def _release(self) -> None:
        for transfer, _ in self._under_way.values():
            self._multi.remove_handle(transfer.handle)
            self._idle.append(transfer)
        self._multi.close()
        for transfer in self._idle:
            transfer.handle.close()


class Sockets:
    """The sockets that libcurl waits for, and those of connections that are kept between two requests.

    What comes in between two requests must not be taken for the next answer, and libcurl looks at a kept
    connection only where it was idle for a second. So a connection stays registered while it is idle.

    Owned by the wire's thread; libcurl closes sockets in this thread only. The kernel forgets a registration
    with its socket, so an event never belongs to another file with the same number.
    """

    def __init__(self, wake_descriptor: int) -> None:
        self._wake_descriptor = wake_descriptor
        self._epoll = select.epoll()
        # Edge-triggered: each write wakes once, and nothing needs to be read.
        self._epoll.register(wake_descriptor, READABLE | select.EPOLLET)
        self._events: dict[int, int] = {}
        self._connections: set[int] = set()
        self._idle: set[int] = set()
        self._multiplexed: set[int] = set()
        self._looked = False
        self._was_woken = False

    def close(self) -> None:
        self._epoll.close()

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Wait for a socket, or for a write to `wake_descriptor`. Returns sockets with libcurl's actions."""
        found = self._epoll.poll(0 if self._was_woken else seconds)
        self._looked, self._was_woken = True, False
        return [
            (descriptor, _actions(events))
            for descriptor, events in found
            if descriptor != self._wake_descriptor and not self._shut_if_idle(descriptor)
        ]

    def watch(self, what: int, descriptor: int, *_: object) -> None:
        """Libcurl tells which events it waits for."""
        if what == pycurl.POLL_REMOVE:
            self._let_go(descriptor)
            return
        events = READABLE if what & pycurl.POLL_IN else 0
        if what & pycurl.POLL_OUT:
            events |= select.EPOLLOUT
            self._connections.add(descriptor)
        self._idle.discard(descriptor)
        if descriptor not in self._events:
            self._epoll.register(descriptor, events)
        else:
            try:
                self._epoll.modify(descriptor, events)
            except FileNotFoundError:
                # Libcurl closed it while it was idle; a new socket has its number.
                self._multiplexed.discard(descriptor)
                self._epoll.register(descriptor, events)
        self._events[descriptor] = events

    def ignore_while_idle(self, descriptor: int) -> None:
        """The connection speaks HTTP/2: the other side may send at any time, and names the request."""
        self._multiplexed.add(descriptor)
        if descriptor in self._idle:
            self._forget(descriptor)

    def shut_stale(self) -> None:
        """Shut kept connections that were closed or on which something came in; libcurl takes others."""
        if self._idle and not self._looked:
            for descriptor, _ in self._epoll.poll(0):
                self._was_woken = self._was_woken or descriptor == self._wake_descriptor
                self._shut_if_idle(descriptor)
            self._looked = True

    def _let_go(self, descriptor: int) -> None:
        """The connection is idle, or about to be closed."""
        if descriptor not in self._events:
            return
        if descriptor not in self._connections or descriptor in self._multiplexed:
            self._forget(descriptor)
            return
        if self._events[descriptor] != READABLE:
            self._epoll.modify(descriptor, READABLE)
            self._events[descriptor] = READABLE
        self._idle.add(descriptor)
        self._looked = False

    def _shut_if_idle(self, descriptor: int) -> bool:
        if descriptor not in self._idle:
            return False
        self._forget(descriptor)
        sock = socket.socket(fileno=descriptor)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has closed it
        finally:
            sock.detach()
        return True

    def _forget(self, descriptor: int) -> None:
        self._idle.discard(descriptor)
        self._connections.discard(descriptor)
        del self._events[descriptor]
        self._epoll.unregister(descriptor)


def _actions(events: int) -> int:
    actions = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
    actions |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
    actions |= pycurl.CSELECT_ERR if events & select.EPOLLERR else 0
    return actions
