"""Where the task API has its two operations."""

from dataclasses import dataclass
from urllib.parse import quote

from shared.settings import PENDING_PATH, TASK_PATH


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`base_url` has no slash at its end. `pending_path` may have a query; `task_path` holds `{id}` once."""

    base_url: str
    pending_path: str = PENDING_PATH
    task_path: str = TASK_PATH

    @property
    def pending_route(self) -> str:
        """For metrics: the path without its query."""
        return self.pending_path.partition("?")[0]

    @property
    def task_route(self) -> str:
        return self.task_path.partition("?")[0]

    def pending(self, limit: int, wait_seconds: float) -> str:
        joint = "&" if "?" in self.pending_path else "?"
        wait = f"&wait={wait_seconds:g}" if wait_seconds else ""
        return f"{self.base_url}{self.pending_path}{joint}limit={limit}{wait}"

    def task(self, task_id: str) -> str:
        """The id becomes one percent-encoded segment of the path."""
        return self.base_url + self.task_path.replace("{id}", quote(task_id, safe=""))
