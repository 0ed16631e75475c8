"""Rows A3, A5, A12 and A14: a batch fails because of one text, and only that text's task does."""

import math

import pytest

from tests.acceptance.service import Json
from tests.eventually import eventually
from tests.stubs.scripted_http import Answer
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.provider import Call

GUILTY = "text 17"


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answers.OLLAMA_NAN, id="ollama-nan"),
        pytest.param(answers.NGINX_BAD_GATEWAY, id="backend-crashes-behind-nginx", marks=pytest.mark.slow),
        pytest.param(answers.LLAMA_TOO_LARGE, id="llama-physical-batch", marks=pytest.mark.slow),
        pytest.param(Answer(0), id="connection-ends", marks=pytest.mark.slow),
    ],
)
def test_a03_one_text_that_breaks_the_server_fails_alone(wild: Wild, says: Answer) -> None:
    texts = wild.api.add(40)
    wild.provider.front = lambda call: says if GUILTY in call.texts else None
    wild.start()
    wild.api.wait_until_done()
    assert list(wild.api.failed()) == [GUILTY]
    assert sorted(wild.api.succeeded()) == sorted(set(texts) - {GUILTY})
    assert wild.provider.paid_again(texts) == {}
    assert wild.provider.calls_with(GUILTY) <= 2 * math.log2(40) + 6, "halved, then its own attempts"
    assert len(wild.provider.calls) <= 4 * math.log2(40) + 6


@pytest.mark.slow
def test_a03_one_text_of_a_thousand_fails_alone(wild: Wild) -> None:
    texts = wild.api.add(1000)
    wild.provider.front = lambda call: answers.OLLAMA_NAN if "text 517" in call.texts else None
    wild.start()
    wild.api.wait_until_done()
    assert list(wild.api.failed()) == ["text 517"]
    assert wild.provider.paid_again(texts) == {}


@pytest.mark.slow
def test_a03_three_texts_that_break_the_server_fail_and_no_others(wild: Wild) -> None:
    texts = wild.api.add(60)
    guilty = {"text 3", "text 4", "text 50"}
    wild.provider.front = lambda call: answers.LLAMA_TOO_LARGE if guilty & set(call.texts) else None
    wild.start()
    wild.api.wait_until_done()
    assert set(wild.api.failed()) == guilty
    assert wild.provider.paid_again(texts) == {}


@pytest.mark.slow
def test_a03_outage_with_a_single_task_waiting_fails_nothing(wild: Wild) -> None:
    down = True
    wild.provider.front = lambda _: answers.NGINX_BAD_GATEWAY if down else None
    texts = wild.api.add(1)
    service = wild.start(CIRCUIT_BREAKER_THRESHOLD="5", MAX_RETRIES="1")
    eventually(
        lambda: len(wild.provider.calls) >= 7 or wild.api.final,
        20.0,
        "more attempts than retries are allowed",
    )
    assert wild.api.failed() == {}
    down = False
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert service.running()


@pytest.mark.slow
def test_a05_vector_of_nulls_in_a_batch_is_asked_for_alone(wild: Wild) -> None:
    texts = wild.api.add(12)

    def spoil(call: Call) -> Answer | None:
        if "text 5" not in call.texts or len(call.texts) == 1:
            return None

        def nulls(body: Json) -> None:
            body["data"][call.texts.index("text 5")]["embedding"] = [None] * 8

        return wild.provider.good(call, nulls)

    wild.provider.front = spoil
    wild.start()
    wild.api.wait_until_done()
    assert wild.api.failed() == {}
    assert sorted(wild.api.succeeded()) == sorted(texts)
    assert wild.provider.paid_again(set(texts) - {"text 5"}) == {}


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answers.AZURE_NO_DEPLOYMENT, id="azure-deployment"),
        pytest.param(answers.NOT_FOUND_WITHOUT_A_WORD, id="json-404", marks=pytest.mark.slow),
        pytest.param(answers.ollama_no_model("other"), id="ollama-pull", marks=pytest.mark.slow),
    ],
)
def test_a12_missing_model_fails_its_own_tasks_and_holds_up_no_other(wild: Wild, says: Answer) -> None:
    wild.provider.front = lambda call: says if call.model == "other" else None
    good = wild.api.add(9, "good")
    astray = wild.api.add(5, "astray", model="other")
    service = wild.start()
    wild.api.wait_until_done()
    assert sorted(wild.api.succeeded()) == sorted(good)
    assert sorted(wild.api.failed()) == sorted(astray)
    words = "does not exist" if says is answers.AZURE_NO_DEPLOYMENT else "not found"
    assert all(words in message for message in wild.api.failed().values())
    eventually(lambda: service.not_ready() == [], what="the service is ready")
    assert len(wild.provider.calls) <= 6, "no task of a missing model is asked for one by one"


@pytest.mark.slow
def test_a14_dimensions_that_the_server_ignores_fail_their_tasks_and_no_breaker(wild: Wild) -> None:
    wild.provider.front = lambda call: wild.provider.good(call, dimensions=12)
    asking = wild.api.add(6, "asking", dimensions=4)
    others = wild.api.add(6, "others")
    service = wild.start(CIRCUIT_BREAKER_THRESHOLD="1")
    wild.api.wait_until_done()
    assert sorted(wild.api.succeeded()) == sorted(others)
    assert sorted(wild.api.failed()) == sorted(asking)
    message = wild.api.failed()["asking 1"]
    assert "4" in message
    assert "12" in message
    assert service.log_lines("breaker_changed") == []
