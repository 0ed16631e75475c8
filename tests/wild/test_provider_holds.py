"""Rows A6 and A8: what is wrong with the account or the way to the provider fails no task."""

import pytest

from tests.wild import answers
from tests.wild.conftest import Wild


@pytest.mark.slow
def test_a06_refusal_of_an_input_fails_only_that_task_once_the_canary_is_served(wild: Wild) -> None:
    texts = wild.api.add(1)
    refusal = answers.openai_error(400, "This input cannot be embedded")
    wild.provider.front = lambda call: refusal if texts[0] in call.texts else None
    service = wild.start()
    wild.api.wait_until_done()
    assert "cannot be embedded" in wild.api.failed()[texts[0]]
    assert service.not_ready() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_ORG_ID", "org-1\nX-Injected: 1"),
        pytest.param("OPENAI_PROJECT_ID", "proj_Müller", marks=pytest.mark.slow),
    ],
)
def test_a08_header_that_cannot_be_sent_is_a_fault_of_the_settings(wild: Wild, name: str, value: str) -> None:
    wild.api.add(3)
    service = wild.start(**{name: value})
    assert service.wait(20.0) == 2
    assert name in service.errors.read_text()
    assert wild.api.final == {}
