"""`python -m examples.demo.feeder`: gives a task API a little work, again and again, until it is stopped."""

import argparse
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice

import requests

from examples.demo.corpus import Passage, all_passages

REQUEST_SECONDS = 10.0


class Feeder:
    """Posts `passages` to the task API at `url`: each second none to twice `tasks_per_second`, at random.

    `pause(seconds)` waits and says whether it is time to end. A task API that does not answer gets the
    same work a second later.
    """

    def __init__(
        self,
        url: str,
        tasks_per_second: int,
        passages: Iterator[Passage],
        pause: Callable[[float], bool],
        draw: Callable[[int, int], int] = random.randint,
    ) -> None:
        self._url = url.rstrip("/")
        self._tasks_per_second = tasks_per_second
        self._passages = passages
        self._pause = pause
        self._draw = draw
        self._session = requests.Session()

    def run(self) -> None:
        with self._session:
            while not self._pause(1.0):
                count = self._draw(0, 2 * self._tasks_per_second)
                bodies = [_task_body(passage) for passage in islice(self._passages, count)]
                while bodies and not self._post(bodies):
                    if self._pause(1.0):
                        return

    def _post(self, bodies: list[dict[str, object]]) -> bool:
        try:
            answer = self._session.post(f"{self._url}/api/ai-tasks", json=bodies, timeout=REQUEST_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            print(f"the task API took no work: {error}", file=sys.stderr, flush=True)
            return False
        return True


def _task_body(passage: Passage) -> dict[str, object]:
    return {"type": "text-embedding", "input_data": {"text": passage.text}}


def main() -> int:
    parser = argparse.ArgumentParser("python -m examples.demo.feeder", description="Makes work, steadily.")
    parser.add_argument("--url", required=True, help="address of the task API")
    parser.add_argument("--tasks-per-second", type=int, default=3, help="on average (default %(default)s)")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Feeder(options.url, options.tasks_per_second, all_passages(), stop.wait).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
