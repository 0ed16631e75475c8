"""Providers as they are, in simulated time: who is FAILED, who is not, and what it costs."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest

from shared.errors import Blame, RetryReason
from shared.messages import Failure
from supervisor.status.status import NotReady
from tests.builders import make_settings
from tests.fakes.clock import Clock
from tests.fakes.harness import Harness
from tests.fakes.simulated_provider import Reply, Server, SimulatedProvider

WORKERS = 5


def provider(serve: Server, **settings: object) -> SimulatedProvider:
    harness = Harness(make_settings(**settings), draw=random.Random(1).uniform)
    harness.start_workers()
    return SimulatedProvider(harness, serve)


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def meets(reason: RetryReason, seconds: float = 0.1, message: str = "it broke") -> Reply:
    return Reply(seconds, Failure(message, retry=reason))


def refuses(message: str = "bad input", blame: Blame = Blame.SOME_TASKS) -> Reply:
    return Reply(0.1, Failure(message, blame=blame))


@pytest.mark.parametrize("count", [1, 2, 40, 1000])
@pytest.mark.parametrize(
    "reason", [RetryReason.SERVER_ERROR, RetryReason.BAD_RESPONSE, RetryReason.DISCONNECTED]
)
def test_one_text_that_breaks_the_server_costs_the_others_nothing(count: int, reason: RetryReason) -> None:
    guilty = f"text {count // 2}"
    world = provider(lambda asked, _: meets(reason) if guilty in asked else Reply())
    world.add(texts(count))
    world.run()
    assert world.failed == {guilty: "it broke (gave up after 4 attempts)"}
    assert max(world.paid.values(), default=1) == 1
    in_its_batch = min(math.ceil(count / WORKERS), 100)
    without_it = math.ceil(count / max(1, in_its_batch))
    assert len(world.calls) <= without_it + 2 * math.log2(in_its_batch) + 6


@pytest.mark.slow
@pytest.mark.parametrize("guilty_share", [0.01, 0.1])
def test_many_guilty_texts_fail_and_nobody_else(guilty_share: float) -> None:
    names = texts(1000)
    guilty = set(random.Random(3).sample(names, int(guilty_share * 1000)))
    world = provider(lambda asked, _: refuses("too long") if guilty & set(asked) else Reply())
    world.add(names)
    world.run()
    assert world.failed == dict.fromkeys(guilty, "too long")
    assert len(world.calls) <= 30 + len(guilty) * (1 + 2 * math.log2(100))
    assert world.canaries <= 3 + len(guilty) / 2


def serial(clock: Clock, seconds_a_text: float, timeout_seconds: float) -> Server:
    """A server that computes one text after the other, whoever asks, and does not notice who has left."""
    free_at = 0.0

    def serve(asked: Sequence[str], _: str) -> Reply:
        nonlocal free_at
        free_at = max(free_at, clock()) + seconds_a_text * len(asked)
        seconds = free_at - clock()
        return meets(RetryReason.TIMEOUT, timeout_seconds) if seconds > timeout_seconds else Reply(seconds)

    return serve


@pytest.mark.parametrize(("seconds_a_text", "timeout"), [(0.1, 4.0), (0.5, 2.0), (0.02, 1.0), (1.0, 60.0)])
def test_slow_server_is_used_near_its_own_pace_and_nothing_fails(
    seconds_a_text: float, timeout: float
) -> None:
    def serve(asked: Sequence[str], _: str) -> Reply:
        seconds = seconds_a_text * len(asked)
        return meets(RetryReason.TIMEOUT, timeout) if seconds > timeout else Reply(seconds)

    world = provider(serve, openai_timeout=timeout)
    world.add(texts(200))
    seconds = world.run()
    assert not world.failed
    assert max(world.paid.values()) == 1
    assert seconds <= 1.5 * 200 * seconds_a_text / WORKERS


def test_text_that_the_server_never_answers_slows_no_other() -> None:
    def serve(asked: Sequence[str], _: str) -> Reply:
        return meets(RetryReason.TIMEOUT, 60.0) if "text 500" in asked else Reply(0.01 * len(asked))

    world = provider(serve)
    world.add(texts(1000))
    world.run(max_seconds=1200.0)
    assert list(world.failed) == ["text 500"]
    assert max(world.paid.values()) == 1
    assert len(world.calls) <= 60


@pytest.mark.parametrize(("seconds_a_text", "timeout"), [(0.1, 4.0), (0.5, 2.0)])
def test_server_that_computes_one_call_after_the_other_is_not_overrun(
    seconds_a_text: float, timeout: float
) -> None:
    world = provider(lambda _, __: Reply(), openai_timeout=timeout)
    world.serve = serial(world.harness.clock, seconds_a_text, timeout)
    world.add(texts(200))
    seconds = world.run()
    assert not world.failed
    assert seconds <= 1.5 * 200 * seconds_a_text


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_server_that_takes_ten_inputs_gets_few_calls_in_vain(workers: int) -> None:
    world = provider(
        lambda asked, _: refuses("at most 10 inputs") if len(asked) > 10 else Reply(0.1 + 0.01 * len(asked)),
        concurrency_limit=workers,
    )
    world.add(texts(1000))
    world.run()
    assert not world.failed
    assert len(world.calls) + world.canaries <= 150


def test_server_whose_batched_answers_cannot_be_used_is_asked_for_one_text_a_call() -> None:
    unusable = Reply(0.1, Failure("the same index", retry=RetryReason.BAD_RESPONSE, one_by_one=True))
    world = provider(lambda asked, _: unusable if len(asked) > 1 else Reply())
    world.add(texts(100))
    world.run()
    assert not world.failed
    assert len(world.calls) <= 100 + 2 * WORKERS


@pytest.mark.parametrize("most", [1, 96, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", [Blame.SOME_TASKS, RetryReason.SERVER_ERROR, RetryReason.RATE_LIMIT])
def test_inputs_that_a_server_takes_are_learned(most: int, how: Blame | RetryReason) -> None:
    too_many = refuses("too many inputs") if isinstance(how, Blame) else meets(how)
    count = min(1000, 300 * most)
    world = provider(lambda asked, _: too_many if len(asked) > most else Reply())
    world.add(texts(count))
    world.run()
    assert not world.failed
    assert max(world.paid.values()) == 1
    tried_in_vain = 40 if how is Blame.SOME_TASKS else 55
    assert len(world.calls) <= count / most * 1.1 + tried_in_vain
    (learned,) = world.harness.providers.default.limits.learned()
    assert learned.inputs_a_call is None or 0.7 * most <= learned.inputs_a_call <= most


@pytest.mark.parametrize(
    "said",
    [
        refuses("Your key's budget is spent"),
        refuses("no connected db."),
        meets(RetryReason.UNAUTHORIZED),
        meets(RetryReason.SERVER_ERROR),
        meets(RetryReason.RATE_LIMIT),
        pytest.param(meets(RetryReason.QUOTA), marks=pytest.mark.slow),
        pytest.param(meets(RetryReason.CONNECTION), marks=pytest.mark.slow),
        pytest.param(meets(RetryReason.TIMEOUT), marks=pytest.mark.slow),
        pytest.param(meets(RetryReason.DISCONNECTED), marks=pytest.mark.slow),
    ],
    ids=lambda reply: str(reply.failure.retry or reply.failure.message),
)
@pytest.mark.parametrize(("count", "begins"), [(1, "at the start"), (40, "in the middle")])
def test_provider_that_serves_nobody_fails_nothing_and_is_taken_up_again(
    said: Reply, count: int, begins: str
) -> None:
    down = [begins == "at the start"]
    world = provider(lambda _, __: said if down[0] else Reply())
    world.add(f"before {text}" for text in texts(40))
    if not down[0]:
        world.run()
        down[0] = True
    world.add(texts(count))
    calls_before = len(world.calls)
    world.work(400.0)
    assert not world.failed
    assert len(world.calls) - calls_before + world.canaries <= 80
    down[0] = False
    assert world.run() <= 130.0
    assert not world.failed


def test_model_that_is_not_there_fails_its_tasks_and_holds_up_no_other() -> None:
    gone = refuses("The deployment does not exist", Blame.MODEL_OR_ADDRESS)
    world = provider(lambda _, model: gone if model == "gone" else Reply())
    world.add(["one", "two"], model="gone")
    world.add(texts(9))
    assert world.run() < 5.0
    assert world.failed == dict.fromkeys(["one", "two"], "The deployment does not exist")


def test_address_that_has_no_model_at_all_fails_nothing() -> None:
    gone = refuses("Not Found", Blame.MODEL_OR_ADDRESS)
    down = [True]
    world = provider(lambda _, __: gone if down[0] else Reply())
    world.add(texts(5), model="a")
    world.add([f"b {text}" for text in texts(5)], model="b")
    world.work(400.0)
    assert not world.failed
    assert NotReady.PROVIDER_HOLD in world.harness.status.not_ready
    down[0] = False
    world.run(max_seconds=130.0)
    assert not world.failed


def test_texts_that_are_too_large_together_for_the_limit_a_minute_go_in_smaller_batches() -> None:
    too_large = meets(RetryReason.RATE_LIMIT, message="Request too large")
    huge = "huge " * 100
    world = provider(lambda asked, _: too_large if sum(map(len, asked)) > 120 else Reply())
    world.add([*texts(50), huge])
    world.run()
    assert world.failed == {huge: "Request too large (gave up after 4 attempts)"}


@pytest.mark.parametrize(
    ("calls_a_minute", "batch", "count"),
    [
        (60, 1, 100),
        (20, 100, 1000),
        pytest.param(10, 100, 300, marks=pytest.mark.slow),
        pytest.param(300, 1, 200, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("asked_seconds", [None, 1.0])
def test_scarce_rate_fails_no_task_and_is_used(
    calls_a_minute: int, batch: int, count: int, asked_seconds: float | None
) -> None:
    tokens, at = 1.0, 0.0

    def serve(_: Sequence[str], __: str) -> Reply:
        nonlocal tokens, at
        now = world.harness.clock()
        tokens, at = min(1.0, tokens + (now - at) * calls_a_minute / 60), now
        if tokens < 1:
            return Reply(0.05, Failure("slow down", RetryReason.RATE_LIMIT, asked_seconds))
        tokens -= 1
        return Reply(0.2)

    world = provider(serve, batch_max_tasks=batch)
    world.add(texts(count))
    seconds = world.run(max_seconds=3600.0)
    assert not world.failed
    assert max(world.paid.values()) == 1
    assert seconds <= 60 + 4 * (count / batch) * 60 / calls_a_minute


def test_one_model_that_refuses_everything_holds_up_no_other() -> None:
    world = provider(lambda _, model: refuses("no such input") if model == "b" else Reply())
    world.add(["alone"], model="b")
    world.work(2.0)
    for number in range(100):
        world.add([f"other {number}"])
        world.work(2.0)
    assert len(world.reports) == 100
    assert not world.failed
    assert world.canaries <= 10


def test_model_that_is_missing_for_a_moment_loses_no_task() -> None:
    gone = refuses("Not Found", Blame.MODEL_OR_ADDRESS)
    missing = [False]
    world = provider(lambda _, model: gone if missing[0] and model == "a" else Reply())
    world.add(["first"], model="a")
    world.run()
    missing[0] = True
    world.add(texts(3), model="a")
    world.work(1.0)
    missing[0] = False
    for number in range(20):
        world.add([f"other {number}"], model="b")
        world.work(5.0)
    assert not world.failed
    assert set(texts(3)) <= world.reports.keys()


def test_model_that_one_of_several_servers_is_without_loses_no_task() -> None:
    gone = refuses("Not Found", Blame.MODEL_OR_ADDRESS)
    calls = itertools.count()
    world = provider(lambda _, __: gone if next(calls) % 3 == 0 else Reply(), concurrency_limit=2)
    world.add(texts(40))
    world.run(max_seconds=3600.0)
    assert not world.failed


def test_task_that_alone_is_called_missing_is_failed_while_its_model_is_served() -> None:
    gone = refuses("Not Found", Blame.MODEL_OR_ADDRESS)
    world = provider(lambda asked, _: gone if "bad" in asked else Reply(), concurrency_limit=2)
    world.add(["bad", *texts(20)])
    world.run(max_seconds=3600.0)
    assert world.failed.keys() == {"bad"}


@pytest.mark.slow
def test_faults_by_chance_fail_no_task() -> None:
    chance = random.Random(7)

    def serve(_: Sequence[str], __: str) -> Reply:
        drawn = chance.random()
        if drawn < 0.15:
            return meets(RetryReason.RATE_LIMIT)
        return meets(RetryReason.SERVER_ERROR) if drawn < 0.3 else Reply()

    world = provider(serve, concurrency_limit=4, batch_max_tasks=4, retry_backoff_factor=1.0)
    world.add(texts(1500))
    world.run(max_seconds=36_000.0)
    assert not world.failed
    assert max(world.paid.values()) == 1
