"""The threads that call the task API, without threads or an API: what they are asked for lies in lists."""

from dataclasses import dataclass

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
    """`limits` holds the polls asked for and not yet answered."""

    def __init__(self) -> None:
        self.limits: list[int] = []

    def start(self) -> None:
        """There is no thread."""

    def poll(self, limit: int) -> None:
        self.limits.append(limit)

    def close(self) -> None:
        """There is no thread."""


class HeldReporter(Reporter):
    """`parcels` holds what no thread has begun to send; `send_one` begins."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []

    def start(self) -> None:
        """There is no thread."""

    def send(self, message: Message, body: bytes) -> None:
        self.parcels.append(Parcel(message, body))

    def send_one(self) -> Parcel:
        """What a thread would take up now."""
        return self.parcels.pop(0)

    def recall(self) -> list[str]:
        task_ids = [parcel.task_id for parcel in self.parcels]
        self.parcels.clear()
        return task_ids

    def close(self) -> None:
        """There is no thread."""
