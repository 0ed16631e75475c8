"""The course of the demo."""

import shutil
import sys
import tempfile
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

from examples.demo.backend import Backend, Tally
from examples.demo.corpus import all_passages, first_passages, load_corpus
from examples.demo.fault import DemoFault, StopRequest
from examples.demo.interrupts import Interrupts
from examples.demo.nearest import QUERIES, StoredVectors, embed_queries
from examples.demo.processes import Child, Ending, free_port, start_service, start_task_api
from examples.demo.progress import progress_on
from examples.demo.service_page import read_provider_calls
from examples.demo.summary import error_lines, proof_lines, result_lines

REFRESH_SECONDS = 0.15
API_START_SECONDS = 30.0
WORK_SECONDS = 300.0
WORK_SECONDS_A_TASK = 0.05
DRAIN_SECONDS = 30.0
API_STOP_SECONDS = 5.0
TRICKLE_EVERY_SECONDS = 1.0
READY_LINE = "task API http://"
EXIT_INTERRUPTED = 130


def run_demo(tasks: int | None = None, keep: bool = False) -> int:
    """Run the demo with `tasks` tasks (default: the whole corpus) and return the exit code.

    0: every task succeeded and the service drained; 1: not so; 2: `tasks` is less than one;
    130: stopped by a signal. With `keep` the service stays up after the summary until a signal, and
    that signal changes no exit code. For the main thread only.
    """
    tasks = len(load_corpus()) if tasks is None else tasks
    if tasks < 1:
        print("the demo needs at least one task: give --tasks a number from 1", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="ai-task-demo-"))
    demo = Demo(folder, tasks, keep, sys.stdout)
    try:
        exit_code = demo.run()
    finally:
        demo.kill()
    if demo.clean:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"the logs of this run are in {folder}", file=sys.stderr)
    return exit_code


class Demo:
    """One run: its children, its files in `folder`, and what was seen last."""

    def __init__(self, folder: Path, tasks: int, keep: bool, stream: TextIO) -> None:
        self._folder = folder
        self._tasks = tasks
        self._keep = keep
        self._stream = stream
        self._interrupts = Interrupts(on_repeat=self.kill)
        self._task_api: Child | None = None
        self._service: Child | None = None
        self._backend: Backend | None = None
        self._tally = Tally()
        self.clean = False  # whether all went well, so that the logs may go

    def run(self) -> int:
        with self._interrupts:
            try:
                return self._run()
            except StopRequest:
                return self._stopped()
            except DemoFault as fault:
                self._wind_down()
                print(f"the demo failed: {fault}", file=sys.stderr)
                return 1

    def kill(self) -> None:
        """End the children that still run, at once."""
        for child in (self._service, self._task_api):
            if child is not None:
                child.kill()

    def _run(self) -> int:
        self._task_api = start_task_api(self._folder)
        self._backend = backend = Backend(self._wait_for_url(self._task_api))
        backend.create(first_passages(self._tasks))
        port = free_port()
        self._say(f"task API on {backend.url} with {self._tasks} texts waiting; starting the service")
        started = time.monotonic()
        self._service = start_service(self._folder, backend.url, port)
        self._watch(backend)
        elapsed_seconds = time.monotonic() - started
        page = f"http://127.0.0.1:{port}"
        self._say("", *result_lines(self._tally, elapsed_seconds, read_provider_calls(page)), "")
        self._prove(backend)
        all_succeeded = self._tally.succeeded == self._tasks
        if self._keep:
            self._stay(backend, page)
        ending = self._wind_down()
        self._say("", f"the service {ending}")
        if not self._keep:
            self._say("`python run.py demo --keep` leaves it running, with a status page to look at")
        self.clean = all_succeeded and ending is not None and ending.drained
        return 0 if self.clean else 1

    def _wait_for_url(self, task_api: Child) -> str:
        """The address in the line that the task API prints when it is ready."""
        deadline = time.monotonic() + API_START_SECONDS
        while time.monotonic() < deadline:
            for line in task_api.log.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.startswith(READY_LINE) and line.endswith("\n"):
                    return line.removeprefix("task API ").strip()
            task_api.check()
            self._interrupts.pause(REFRESH_SECONDS)
        raise DemoFault(f"the task API was not ready after {API_START_SECONDS:.0f} s")

    def _watch(self, backend: Backend) -> None:
        """Show the progress until every task is done."""
        progress = progress_on(self._stream, self._tasks)
        limit_seconds = WORK_SECONDS + WORK_SECONDS_A_TASK * self._tasks
        deadline = time.monotonic() + limit_seconds
        try:
            while True:
                self._check_children()
                self._tally = backend.tally()
                progress.show(self._tally)
                if self._tally.done >= self._tasks:
                    return
                if time.monotonic() > deadline:
                    raise DemoFault(f"only {self._tally.done} tasks were done in {limit_seconds:.0f} s")
                self._interrupts.pause(REFRESH_SECONDS)
        finally:
            progress.close(self._tally)

    def _prove(self, backend: Backend) -> None:
        outcomes = []
        for outcome in backend.outcomes():
            self._interrupts.check()
            outcomes.append(outcome)
        self._say(*error_lines(outcomes))
        embedded = [(outcome.passage, outcome.vector) for outcome in outcomes if outcome.vector is not None]
        if not embedded:
            return
        passages, vectors = zip(*embedded, strict=True)
        stored = StoredVectors(passages, vectors)
        answers = {
            query: stored.nearest(row) for query, row in zip(QUERIES, embed_queries(QUERIES), strict=True)
        }
        self._say(*proof_lines(answers, len(embedded)))

    def _stay(self, backend: Backend, page: str) -> None:
        """Leave everything up, with a little work, until a signal comes."""
        self._say(
            "",
            f"status page  {page}/",
            f"metrics      {page}/metrics",
            f"task API     {backend.url}/",
            "A new task comes every second. Ctrl-C drains the service and ends the demo.",
        )
        try:
            for passage in islice(all_passages(), self._tasks, None):
                self._interrupts.pause(TRICKLE_EVERY_SECONDS)
                self._check_children()
                backend.create([passage])
        except StopRequest:
            self._say("", "draining ...")

    def _stopped(self) -> int:
        if self._service is not None:
            self._say("", "stopping: the service finishes what it has begun (Ctrl-C again: kill it)")
        ending = self._wind_down()
        self.clean = ending is None or ending.drained
        if ending is None:
            self._say("", "stopped before the service was started")
        else:
            self._say(f"stopped: {self._tally.done} of {self._tasks} tasks done, the service {ending}")
        return EXIT_INTERRUPTED

    def _wind_down(self) -> Ending | None:
        """Drain the service, look a last time at the tasks, end the task API. The service's ending."""
        ending = None if self._service is None else self._service.stop(DRAIN_SECONDS)
        if self._backend is not None:
            with suppress(DemoFault):  # a killed task API: what was seen before is the last that is known
                self._tally = self._backend.tally()
            self._backend.close()
        if self._task_api is not None:
            self._task_api.stop(API_STOP_SECONDS)
        return ending

    def _check_children(self) -> None:
        for child in (self._task_api, self._service):
            if child is not None:
                child.check()

    def _say(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self._stream, flush=True)
