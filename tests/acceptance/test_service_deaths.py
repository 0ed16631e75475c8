"""A task that kills the whole service, again and again."""

import os
import signal

import orjson
import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider_answer import Item, embeddings_json, tokens_in, vector_for
from tests.stubs.scripted_http import NO_ANSWER, Answer, Request, ScriptedServer

POISON = "poison"


@pytest.mark.slow  # tests/unit/supervisor/test_deaths_of_the_service.py shows the same without processes
def test_task_that_kills_the_service_is_failed_and_all_others_succeed(
    start_service: StartService, task_api: Peer
) -> None:
    services: list[ServiceProcess] = []

    def embed_or_kill(request: Request) -> Answer:
        texts = orjson.loads(request.body)["input"]
        if any(POISON in text for text in texts):
            os.kill(services[-1].pid, signal.SIGKILL)
            return NO_ANSWER
        items = [Item(place, vector_for(text, 16)) for place, text in enumerate(texts)]
        return Answer(200, embeddings_json(items, model="m", tokens=tokens_in(texts), floats=False))

    texts = [f"text {place}" for place in range(40)]
    texts[17] = f"a {POISON} text"
    task_api.add_texts(texts)
    with ScriptedServer(embed_or_kill) as server:
        while task_api.succeeded() < 39 or not task_api.tasks()[17].error:
            assert len(services) < 6, "it kills the service for ever"
            settings = {"CONCURRENCY_LIMIT": "3", "BATCH_MAX_TASKS": "10"}
            services.append(start_service(OPENAI_BASE_URL=f"{server.url}/v1", **settings))
            eventually(
                lambda: not services[-1].running() or task_api.tasks()[17].error, 30.0, "it dies or is done"
            )
            if services[-1].running():
                task_api.wait_until_done()
        assert services[-1].stop() == 0
    error = task_api.tasks()[17].error
    assert error is not None
    assert "died 3 times on this task; the last time it took the whole service with it" in error
    assert task_api.succeeded() == 39
    assert len(services) == 5
