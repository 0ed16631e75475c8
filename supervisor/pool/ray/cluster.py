"""The Ray cluster and its actors, in the bridge process. The only module that imports Ray."""

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any, cast

import ray
import ray.util
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError
from ray.job_config import JobConfig

from shared.messages import WorkerUnfit
from shared.plain_text import one_line, type_and_words
from supervisor.pool.ray.actor_slot import WorkerLostError
from workers.process.actor import CHECKOUT, SAME_CODE, Answer, Inputs, WorkerActor

CONNECT_SECONDS = 3.0
GIVE = "give"
ANSWER = "answer"
"""Groups of an actor's threads: a call that waits in one of them holds up no other."""
FINISH_SECONDS = 5.0
JOINED = (
    "this machine must be a node of the cluster (`ray start`), and have the head's RAY_AUTH_TOKEN and its"
    " versions of Ray and Python"
)
MAX_REASON_CHARACTERS = 300
_DETAIL = re.compile(r"Worker exit detail: (.+?)(?: Some common causes|$)", re.DOTALL)


class ClusterUnreachableError(Exception):
    """The cluster cannot be joined. The words say why, for a person."""


class RayWorker:
    """One actor. See RemoteWorker for the contract."""

    def __init__(self, actor: Any) -> None:  # Ray gives its handles no type
        self._actor = actor
        self._hello: Any = None

    def hello(self, timeout_seconds: float) -> str | None:
        with _lost():
            self._hello = self._hello or self._actor.hello.remote()
            ready, _ = ray.wait([self._hello], timeout=timeout_seconds)
            return cast("str", ray.get(self._hello)) if ready else None

    def start(self, slot: int, fingerprint: str, config: bytes) -> WorkerUnfit | None:
        with _lost():
            return cast("WorkerUnfit | None", ray.get(self._actor.start.remote(slot, fingerprint, config)))

    def give(self, unit: bytes, inputs: Inputs) -> None:
        with _lost():
            self._actor.give.options(concurrency_group=GIVE).remote(unit, inputs)

    def next_answer(self) -> Answer:
        with _lost():
            return cast("Answer", ray.get(self._actor.next_answer.options(concurrency_group=ANSWER).remote()))

    def finish(self) -> None:
        with _lost():
            ray.wait([self._actor.finish.remote()], timeout=FINISH_SECONDS)
            self.kill()

    def kill(self) -> None:
        with _lost():
            ray.kill(self._actor, no_restart=True)


class RayCluster:
    """The cluster that this process is a driver of. See Cluster for the contract."""

    def __init__(self, address: str, cpus: float, gpus: float) -> None:
        self._address = address
        self._cpus = cpus
        self._gpus = gpus
        # No restarts and no retries: the supervisor's rules decide what runs again.
        make_actors = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={GIVE: 1, ANSWER: 1},
        )
        self._actors = make_actors(WorkerActor)

    @classmethod
    def join(cls, address: str, cpus: float, gpus: float) -> "RayCluster":
        """Raises ClusterUnreachableError."""
        if not _answers(address):
            raise ClusterUnreachableError(
                f"nothing answers at {address}; check RAY_ADDRESS, and that the head of the cluster runs"
            )
        try:
            ray.init(
                address=address,
                # The class of actors is imported on each node, from there or from where Python finds it.
                job_config=JobConfig(code_search_path=[str(CHECKOUT)]),
                log_to_driver=False,
                configure_logging=False,
            )
        except Exception as error:  # each version of Ray has errors of its own
            words = one_line(type_and_words(error), MAX_REASON_CHARACTERS)
            raise ClusterUnreachableError(f"the Ray cluster at {address}: {words}; {JOINED}") from error
        return cls(address, cpus, gpus)

    def new_worker(self) -> RayWorker:
        """Raises WorkerLostError."""
        with _lost():
            return RayWorker(self._actors.remote(ray.util.get_node_ip_address))

    def shortage(self) -> str:
        """Raises WorkerLostError."""
        with _lost():
            there, free = ray.cluster_resources(), ray.available_resources()
        wanted = _resources({"CPU": self._cpus, "GPU": self._gpus})
        return (
            f"the Ray cluster has no place yet for another worker of {wanted}: it has {_resources(there)},"
            f" of which {_resources(free)} are free"
        )

    def is_reachable(self) -> bool:
        return _answers(self._address)

    def close(self) -> None:
        """All actors end with it."""
        ray.shutdown()


def _answers(address: str) -> bool:
    """Does the head take connections? Ray itself would wait for it for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _resources(amounts: dict[str, float]) -> str:
    return f"{amounts.get('CPU', 0):g} CPU and {amounts.get('GPU', 0):g} GPU"


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """Turn what Ray says of a lost actor into WorkerLostError."""
    try:
        yield
    except (RayError, RuntimeError, OSError, ValueError) as error:
        raise WorkerLostError(one_line(_words(error), MAX_REASON_CHARACTERS)) from error


def _words(error: Exception) -> str:
    """The second half of a sentence on the worker. Ray's own words are several lines with ids."""
    if isinstance(error, ActorUnavailableError):
        return "cannot be reached"
    if isinstance(error, RayTaskError):
        return type_and_words(error.cause) if isinstance(error.cause, Exception) else str(error)
    if not isinstance(error, RayActorError):
        return type_and_words(error)
    said = str(error)
    if error.actor_init_failed:
        return f"its code cannot be loaded: {said.strip().splitlines()[-1]}; {SAME_CODE}"
    if "node has died" in said or "node was terminated" in said:
        return "was lost with its node"
    detail = _DETAIL.search(said)
    return f"died: {detail[1] if detail else said}"
