"""Rows A6 and A8: what is wrong with the account or the way to the provider fails no task."""

import pytest

from tests.acceptance.service import ServiceProcess
from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, ScriptedServer
from tests.wild import answers
from tests.wild.conftest import Wild


@pytest.mark.parametrize(
    ("says", "words"),
    [
        pytest.param(answers.OPENROUTER_KEY_LIMIT, "Key limit exceeded", id="openrouter-403-key-limit"),
        pytest.param(
            answers.GEMINI_WRONG_KEY, "API key not valid", id="gemini-400-key", marks=pytest.mark.slow
        ),
        pytest.param(answers.LITELLM_NO_DATABASE, "No connected db", id="litellm-400-no-database"),
        pytest.param(answers.OPENAI_COUNTRY, "Country", id="openai-403-country", marks=pytest.mark.slow),
        pytest.param(
            answers.OPENAI_BILLING_LIMIT,
            "Billing hard limit",
            id="openai-400-billing",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            answers.LITELLM_BUDGET,
            "Budget has been exceeded",
            id="litellm-400-budget",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            answers.LITELLM_BUDGET_429, "over budget", id="litellm-429-budget", marks=pytest.mark.slow
        ),
        pytest.param(
            answers.OPENROUTER_NO_CREDITS, "Insufficient credits", id="openrouter-402", marks=pytest.mark.slow
        ),
        pytest.param(
            answers.CLOUDFLARE_CHALLENGE, "moment", id="cloudflare-403-challenge", marks=pytest.mark.slow
        ),
    ],
)
def test_a06_refused_account_holds_the_provider_with_its_words(wild: Wild, says: Answer, words: str) -> None:
    wild.provider.front = lambda _: says
    wild.api.add(20)
    service = wild.start()
    eventually(lambda: "provider_hold" in service.not_ready() or wild.api.final, what="the provider is held")
    polls = len(wild.api.polls)
    eventually(lambda: len(wild.api.polls) > polls + 2, what="the service goes on polling")
    assert wild.api.failed() == {}
    assert len(wild.provider.calls) <= 8, "a refused account is not asked again and again"
    assert words in service.wait_for_log("provider_held", 30.0)["message"]


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answers.FASTAPI_NOT_FOUND, id="fastapi-404"),
        pytest.param(answers.nginx_page(404, "404 Not Found"), id="nginx-404", marks=pytest.mark.slow),
        pytest.param(answers.GO_NOT_FOUND, id="go-404", marks=pytest.mark.slow),
        pytest.param(
            answers.json_answer(405, {"detail": "Method Not Allowed"}),
            id="fastapi-405",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a12_wrong_address_holds_the_provider_and_fails_nothing(wild: Wild, says: Answer) -> None:
    """What a base URL without its `/v1` is answered."""
    wild.provider.front = lambda _: says
    wild.api.add(20)
    service = wild.start()
    eventually(lambda: service.log_lines("provider_held") or wild.api.final, what="the provider is held")
    wild.watch(0.5)
    assert wild.api.failed() == {}
    assert "provider_hold" in service.not_ready()
    assert len(wild.provider.calls) <= 8


@pytest.mark.slow
def test_a06_refusal_of_an_input_fails_only_that_task_once_the_canary_is_served(wild: Wild) -> None:
    texts = wild.api.add(1)
    refusal = answers.openai_error(400, "This input cannot be embedded")
    wild.provider.front = lambda call: refusal if texts[0] in call.texts else None
    service = wild.start()
    wild.api.wait_until_done()
    assert "cannot be embedded" in wild.api.failed()[texts[0]]
    eventually(lambda: service.not_ready() == [], what="the service is ready")


def assert_waits(wild: Wild, service: ServiceProcess, *words: str) -> None:
    """The breaker opens, which takes several failures, no task is failed, and the cause is named."""
    eventually(
        lambda: service.log_lines("breaker_changed") or wild.api.final or not service.running(),
        25.0,
        "the provider's breaker opens",
    )
    assert wild.api.failed() == {}
    assert service.running(), service.output()
    told = (service.output() + service.get("/status").body.decode()).lower()
    assert all(word in told for word in words), told


IMPATIENT = {"CIRCUIT_BREAKER_THRESHOLD": "3", "MAX_RETRIES": "0"}


@pytest.mark.slow
def test_a08_name_that_does_not_resolve_waits(wild: Wild) -> None:
    wild.api.add(3)
    service = wild.start(OPENAI_BASE_URL="http://provider.invalid/v1", **IMPATIENT)
    assert_waits(wild, service, "provider.invalid", "resolve")


@pytest.mark.slow
def test_a08_wrong_protocol_waits(wild: Wild) -> None:
    wild.api.add(3)
    url = wild.provider_server.url.replace("http:", "https:")
    service = wild.start(OPENAI_BASE_URL=f"{url}/v1", **IMPATIENT)
    assert_waits(wild, service, "tls")


@pytest.mark.slow
def test_a08_proxy_that_refuses_waits_and_is_named(wild: Wild) -> None:
    wild.api.add(3)
    denied = Answer(403, b"<html><body>Access denied by policy</body></html>", answers.HTML)
    with ScriptedServer(lambda _: denied) as proxy:
        service = wild.start(
            OPENAI_BASE_URL="https://api.example.test/v1",
            HTTPS_PROXY=proxy.url,
            NO_PROXY="127.0.0.1",
            **IMPATIENT,
        )
        assert_waits(wild, service, "proxy", str(proxy.server_port))


@pytest.mark.slow
def test_a08_dead_proxy_waits_and_is_named(wild: Wild) -> None:
    wild.api.add(3)
    service = wild.start(
        OPENAI_BASE_URL="http://api.example.test/v1",
        HTTP_PROXY="http://127.0.0.1:9",
        NO_PROXY="127.0.0.1",
        **IMPATIENT,
    )
    assert_waits(wild, service, "proxy", "127.0.0.1:9")


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
    assert service.wait() == 2
    assert name in service.errors.read_text()
    assert wild.api.final == {}
