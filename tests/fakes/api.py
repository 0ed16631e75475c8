"""What calls the task API, without an API: what it is asked for lies in lists."""

from dataclasses import dataclass

from supervisor.task_api.answers import PollRequest
from supervisor.task_api.outbox import Message
from supervisor.task_api.poller import Poller
from supervisor.task_api.sender import Reporter


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that waits to be sent."""

    message: Message
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


class HeldReporter(Reporter):
    """`parcels` holds what the wire has not begun to send; `send_one` begins."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []

    def send(self, message: Message, body: bytes) -> None:
        self.parcels.append(Parcel(message, body))

    def send_one(self) -> Parcel:
        """What the wire would take up now."""
        return self.parcels.pop(0)

    def recall(self) -> list[str]:
        task_ids = [parcel.task_id for parcel in self.parcels]
        self.parcels.clear()
        return task_ids
