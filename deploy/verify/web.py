"""HTTP to loopback, without proxies and without surprises."""

import http.client
import json
import socket
from dataclasses import dataclass
from urllib.parse import urlencode

from deploy.verify.commands import CheckFailedError

REQUEST_SECONDS = 10.0
OK = 200


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
