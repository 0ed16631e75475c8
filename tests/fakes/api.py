"""What calls the task API, without an API: what it is asked for lies in lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from supervisor.task_api.client import Poller
from supervisor.task_api.responses import PollRequest
from supervisor.task_api.sender import Entry, PatchMessage


@dataclass(frozen=True, slots=True)
class SendJob:
    """A message that waits to be sent."""

    message: PatchMessage
    body: bytes

    @property
    def task_id(self) -> str:
        return self.message.task_id


class HeldPoller(Poller):
    """`requests` holds the polls asked for and not yet answered."""

    def __init__(self) -> None:
        self.requests: list[PollRequest] = []

    @property
    def limits(self) -> list[int]:
        """How much each of them asks for."""
        return [request.limit for request in self.requests]

    def start(self) -> None:
        """There is no thread."""

    def poll(self, request: PollRequest) -> None:
        self.requests.append(request)


class HeldPatches:
    """`jobs` holds what the wire has not begun to send; `send_one` begins."""

    def __init__(self) -> None:
        self.jobs: list[SendJob] = []

    def put(self, entries: Sequence[Entry]) -> None:
        self.jobs += [SendJob(message, body) for message, body in entries]

    def send_one(self) -> SendJob:
        """What the wire would take up now."""
        return self.jobs.pop(0)

    def take_back(self) -> list[str]:
        task_ids = [job.task_id for job in self.jobs]
        self.jobs.clear()
        return task_ids


class HeldBulkCalls:
    """`calls` holds what is sent in bulk and not yet answered: the tasks, and the body."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], bytes]] = []

    def send(self, task_ids: tuple[str, ...], body: bytes) -> None:
        self.calls.append((task_ids, body))

    def take_back(self) -> list[str]:
        """The wire has begun to send all of them."""
        return []


class HeldRenewals:
    """`asked` holds the ids whose leases are to be renewed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def renew(self, task_ids: tuple[str, ...]) -> None:
        self.asked.append(task_ids)
