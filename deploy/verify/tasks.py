"""Work for the service under test, and what became of it."""

from typing import cast

from deploy.verify.commands import CheckFailedError
from deploy.verify.waiting import wait_for
from deploy.verify.web import ask, fetch_json

CREATED = 201


def create_tasks(api_port: int, count: int, task_type: str = "text-embedding") -> None:
    bodies = [{"type": task_type, "input_data": {"text": f"Text number {n}."}} for n in range(count)]
    answer = ask(api_port, "/api/ai-tasks", "POST", bodies)
    if answer is None or answer.status != CREATED:
        raise CheckFailedError(f"the task API took no tasks: {answer}")


def count_tasks(api_port: int, status: str) -> int:
    summary = cast("dict[str, dict[str, int]]", fetch_json(api_port, "/api/ai-tasks/summary"))
    return summary["by_status"].get(status, 0)


def wait_until_succeeded(api_port: int, count: int, limit_seconds: float = 60.0) -> None:
    """Until the task API has so many tasks with a result, of whatever time."""
    wait_for(
        f"{count} tasks with a result",
        lambda: count_tasks(api_port, "succeeded") >= count,
        limit_seconds,
    )


def wait_until_served(port: int, path: str, limit_seconds: float = 30.0) -> None:
    """Until 127.0.0.1:port answers `path` with 200."""

    def served() -> bool:
        answer = ask(port, path)
        return answer is not None and answer.status == 200  # noqa: PLR2004  HTTP's own number

    wait_for(f"200 from 127.0.0.1:{port}{path}", served, limit_seconds)
