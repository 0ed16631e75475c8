"""HTTP to loopback, without proxies; and the tasks of the API under test."""

import http.client
import json
import socket
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from deploy.verify.checks import CheckFailedError, wait_for

REQUEST_SECONDS = 10.0
OK = 200
CREATED = 201


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str

    def json(self) -> object:
        parsed: object = json.loads(self.text)
        return parsed


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def ask(port: int, path: str, method: str = "GET", body: object = None, **query: str) -> Answer | None:
    """One request to 127.0.0.1; None if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request(
            method,
            f"{path}?{urlencode(query)}" if query else path,
            None if body is None else json.dumps(body),
            {} if body is None else {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def fetch_json(port: int, path: str, **query: str) -> object:
    """The JSON of an answer with status 200. Raises CheckFailedError for any other, or none."""
    answer = ask(port, path, **query)
    if answer is None or answer.status != OK:
        raise CheckFailedError(f"127.0.0.1:{port}{path} answered {answer}")
    return answer.json()


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
        return answer is not None and answer.status == OK

    wait_for(f"200 from 127.0.0.1:{port}{path}", served, limit_seconds)
