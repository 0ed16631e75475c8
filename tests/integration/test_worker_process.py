"""A worker as a real process, started from a real forkserver, on a real pipe."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import orjson
import psutil
import pytest

from shared.messages import RateLimits, UnitDone, WorkerMessage, WorkerReady, WorkerUnfit
from shared.models import Output
from shared.provider_accounts import LOCAL, OPENAI
from tests.acceptance.pace import Gate
from tests.stubs.provider import Policy, StubProvider
from tests.stubs.provider_answer import vector_for
from tests.unit.workers.units import make_unit
from tests.worker_configs import make_config
from workers.config import WorkerConfig
from workers.process.entrypoint import EXIT_UNFIT, worker_main
from workers.process.forkserver import start_forkserver
from workers.process.pipe import receive_message, send_message

PATIENCE_SECONDS = 20.0
CHECKOUT = Path(__file__).parents[2]


class Started:
    """A worker process and the supervisor's end of its pipe."""

    def __init__(self, context: ForkServerContext, config: WorkerConfig) -> None:
        self.pipe, theirs = context.Pipe()
        self.process: ForkServerProcess = context.Process(target=worker_main, args=(3, theirs, config))
        self.process.start()
        theirs.close()

    def receive(self) -> WorkerMessage:
        assert self.pipe.poll(PATIENCE_SECONDS)
        return receive_message(self.pipe)

    def seen(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def forkserver(self) -> psutil.Process:
        parent = self.seen().parent()
        assert parent is not None
        return parent

    def close(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()
        self.process.close()


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return start_forkserver([OPENAI], [])


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dimensions=8) as provider:
        yield provider


@pytest.fixture
def config(provider: StubProvider, tmp_path: Path) -> WorkerConfig:
    return make_config(tmp_path, base_url=provider.base_url)


@pytest.fixture
def start(context: ForkServerContext, config: WorkerConfig) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def starter(config: WorkerConfig = config) -> Started:
        started.append(Started(context, config))
        return started[-1]

    yield starter
    for one in started:
        one.close()


@pytest.fixture
def worker(start: Callable[..., Started]) -> Started:
    """One that is ready."""
    worker = start()
    assert worker.receive() == WorkerReady(worker.process.pid or 0)
    return worker


def test_units_are_answered_one_after_the_other(worker: Started, provider: StubProvider) -> None:
    provider.headers = {"x-ratelimit-remaining-tokens": "9"}
    for number in range(3):
        send_message(worker.pipe, make_unit([f"text {number}", "other"], unit_id=number))
        done = worker.receive()
        assert isinstance(done, UnitDone)
        assert done.unit_id == number
        assert done.rate_limits == RateLimits(remaining_tokens=9)
        output = done.outcomes["t-0"]
        assert isinstance(output, Output)
        assert orjson.loads(output.value) == pytest.approx(vector_for(f"text {number}", 8).tolist(), abs=1e-7)


def held_until(event: threading.Event, text: str = "") -> Policy:
    """Calls for a text that begins so are answered once the event is set."""

    def policy(texts: Sequence[str]) -> None:
        if texts[0].startswith(text):
            event.wait(PATIENCE_SECONDS)

    return policy


def test_units_of_a_worker_with_threads_are_answered_as_each_is_done(
    start: Callable[..., Started], config: WorkerConfig, provider: StubProvider
) -> None:
    first_may_end = threading.Event()
    provider.policy = held_until(first_may_end, "slow")
    worker = start(replace(config, threads=3))
    worker.receive()
    send_message(worker.pipe, make_unit(["slow"], unit_id=0))
    for number in range(1, 5):
        send_message(worker.pipe, make_unit([f"text {number}"], unit_id=number))
    done = [worker.receive() for _ in range(4)]
    assert {message.unit_id for message in done if isinstance(message, UnitDone)} == {1, 2, 3, 4}
    assert worker.seen().num_threads() <= 1 + 3 + 2, "parent-watch, and perhaps a log writer"
    first_may_end.set()
    last = worker.receive()
    assert isinstance(last, UnitDone)
    assert (last.unit_id, last.failure) == (0, None)


def test_worker_runs_no_more_units_at_once_than_it_has_threads(
    start: Callable[..., Started], config: WorkerConfig, provider: StubProvider
) -> None:
    provider.policy = gate = Gate()
    worker = start(replace(config, threads=2))
    worker.receive()
    for number in range(6):
        send_message(worker.pipe, make_unit([f"text {number}"], unit_id=number))
    gate.wait_for_calls(2)
    gate.open()
    for _ in range(6):
        worker.receive()
    assert len(gate.held) == 2, "no third call came while two were held"


def test_limits_that_an_answer_states_are_told_with_the_unit_of_its_thread(
    start: Callable[..., Started], config: WorkerConfig, provider: StubProvider
) -> None:
    provider.headers = {"x-ratelimit-remaining-tokens": "9"}
    worker = start(replace(config, threads=2))
    worker.receive()
    for number in range(6):
        send_message(worker.pipe, make_unit([f"text {number}"], unit_id=number))
    for _ in range(6):
        done = worker.receive()
        assert isinstance(done, UnitDone)
        assert done.rate_limits == RateLimits(remaining_tokens=9)


def test_local_model_serves_several_threads_at_once(start: Callable[..., Started], tmp_path: Path) -> None:
    worker = start(replace(make_config(tmp_path, provider=LOCAL), threads=4))
    worker.receive()
    texts = [f"bread {number} " * 500 for number in range(4)]
    for number in range(40):
        send_message(worker.pipe, make_unit([texts[number % 4]], unit_id=number))
    values: dict[int, set[bytes]] = {}
    for _ in range(40):
        done = worker.receive()
        assert isinstance(done, UnitDone)
        output = done.outcomes["t-0"]
        assert isinstance(output, Output)
        values.setdefault(done.unit_id % 4, set()).add(output.value)
    assert [len(values[place]) for place in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("raised", "code"),
    [("SystemExit(7)", 7), ("SystemExit('no')", 1), ("MemoryError()", 1), ("ValueError()", 1)],
)
def test_what_a_thread_of_a_worker_does_not_handle_ends_the_process(raised: str, code: int) -> None:
    script = (
        "import time\nfrom workers.process.threads import start_thread\n"
        f"def work(): raise {raised}\nstart_thread('unit-1', work)\ntime.sleep(20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == code
    assert ("Traceback" in done.stderr) == (not raised.startswith("SystemExit"))


def test_metrics_are_in_files_named_by_slot(worker: Started, tmp_path: Path) -> None:
    send_message(worker.pipe, make_unit(["text"]))
    worker.receive()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"counter_worker-3.db", "histogram_worker-3.db"}


def test_closing_the_lane_ends_the_worker_well(worker: Started) -> None:
    worker.pipe.close()
    worker.process.join(PATIENCE_SECONDS)
    assert worker.process.exitcode == 0


def test_signals_to_the_group_end_neither_worker_nor_forkserver(worker: Started) -> None:
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGQUIT,
    ):
        os.kill(worker.process.pid or 0, number)
        os.kill(worker.forkserver().pid, number)
    assert worker.forkserver().is_running()
    send_message(worker.pipe, make_unit(["text"]))
    assert isinstance(worker.receive(), UnitDone)


def test_sigquit_shows_the_stacks_and_the_process_goes_on() -> None:
    script = (
        "import os, signal, workers.process.entrypoint as s;"
        " s.show_stacks(); os.kill(os.getpid(), signal.SIGQUIT)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert "most recent call first" in done.stderr


def test_a_killed_worker_is_an_end_of_file_on_its_pipe(worker: Started) -> None:
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    assert worker.pipe.poll(PATIENCE_SECONDS)
    with pytest.raises((EOFError, ConnectionError)):
        receive_message(worker.pipe)
    worker.process.join(PATIENCE_SECONDS)
    assert worker.process.exitcode == -signal.SIGKILL


def test_processes_say_who_they_are(worker: Started) -> None:
    assert worker.seen().cmdline()[0] == "ai-task-processor: worker-3"
    assert worker.forkserver().cmdline()[0] == "ai-task-processor: forkserver"


def test_nothing_runs_beside_the_forkservers_one_thread(worker: Started) -> None:
    # Threads do not survive a fork, and locks they held never open again.
    assert worker.forkserver().num_threads() == 1


def test_a_worker_shares_most_of_its_memory(worker: Started) -> None:
    assert (
        worker.seen().memory_full_info().uss < 25_000_000
    )  # 8 MB, and as much again where coverage is measured


def test_the_local_model_works_in_a_worker_too(
    start: Callable[..., Started], config: WorkerConfig, tmp_path: Path
) -> None:
    worker = start(make_config(tmp_path, provider=LOCAL))
    assert isinstance(worker.receive(), WorkerReady)
    send_message(worker.pipe, make_unit(["bread"]))
    done = worker.receive()
    assert isinstance(done, UnitDone)
    output = done.outcomes["t-0"]
    assert isinstance(output, Output)
    assert len(orjson.loads(output.value)) == 256


def test_a_worker_that_cannot_start_says_why_and_exits_with_2(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    worker = start(make_config(tmp_path, key=None))
    message = worker.receive()
    assert isinstance(message, WorkerUnfit)
    assert "OPENAI_API_KEY" in message.reason
    worker.process.join(PATIENCE_SECONDS)
    assert worker.process.exitcode == EXIT_UNFIT
