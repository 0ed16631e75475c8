"""Rows A3, A5, A12 and A14: a batch fails because of one text, and only that text's task does."""

from tests.acceptance.service import Json
from tests.stubs.scripted_http import Answer
from tests.wild.conftest import Wild
from tests.wild.provider import Call


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


def test_a14_dimensions_that_the_server_ignores_fail_their_tasks_and_no_breaker(wild: Wild) -> None:
    wild.provider.front = lambda call: wild.provider.good(call, dimensions=12)
    asking = wild.api.add(6, "asking", dimensions=4)
    others = wild.api.add(6, "others")
    service = wild.start(CIRCUIT_BREAKER_THRESHOLD="1")
    wild.api.wait_until_done(10.0)
    assert sorted(wild.api.succeeded()) == sorted(others)
    assert sorted(wild.api.failed()) == sorted(asking)
    message = wild.api.failed()["asking 1"]
    assert "4" in message
    assert "12" in message
    assert service.log_lines("breaker_changed") == []
