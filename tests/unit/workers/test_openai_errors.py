import httpx2
import openai
import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from tests.stubs import provider_faults as faults
from tests.stubs.provider_faults import Fault
from workers.providers.openai.errors import OpenAIErrors

KEY = "sk-the-real-key-0123456789"
URL = "https://provider.example/v1"
MODEL = "m"
WALL_SECONDS = 1_700_000_000.0


def classified(fault: Fault) -> TaskError:
    """The class of the error that the SDK really raises for this answer."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(fault.status, content=fault.body or b"", headers=dict(fault.headers))

    return _classify(httpx2.MockTransport(answer))


def classified_exception(error: Exception) -> TaskError:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise error

    return _classify(httpx2.MockTransport(answer))


def _classify(transport: httpx2.MockTransport) -> TaskError:
    errors = OpenAIErrors(base_url=URL, key=KEY, timeout_seconds=60.0, wall_clock=lambda: WALL_SECONDS)
    with httpx2.Client(transport=transport) as http:
        sdk = openai.OpenAI(api_key=KEY, base_url=URL, max_retries=0, http_client=http)
        with pytest.raises(openai.APIError) as caught:
            sdk.embeddings.with_raw_response.create(model=MODEL, input=["x"], encoding_format="base64")
    return errors.classify(caught.value, MODEL)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.server_error(500), RetryReason.SERVER_ERROR),
        (faults.server_error(502), RetryReason.SERVER_ERROR),
        (faults.html_page(503), RetryReason.SERVER_ERROR),
        (faults.server_error(529), RetryReason.SERVER_ERROR),
        (faults.refused(408), RetryReason.TIMEOUT),
        (faults.refused(409), RetryReason.SERVER_ERROR),
        (faults.refused(425), RetryReason.SERVER_ERROR),
        (faults.rate_limited(), RetryReason.RATE_LIMIT),
        (faults.html_page(429), RetryReason.RATE_LIMIT),
        (faults.quota_exhausted(), RetryReason.QUOTA),
        (faults.refused(429, "inactive", code="billing_not_active"), RetryReason.QUOTA),
        (faults.refused(402), RetryReason.QUOTA),
        (faults.unauthorized(), RetryReason.UNAUTHORIZED),
        (faults.html_page(401), RetryReason.UNAUTHORIZED),
        (faults.refused(407), RetryReason.UNAUTHORIZED),
        (faults.html_page(403), RetryReason.UNAUTHORIZED),
        (faults.html_not_found(), RetryReason.WRONG_URL),
        (faults.refused(404, "Invalid URL (POST /embeddings)"), RetryReason.WRONG_URL),
        (Fault("fastapi", 404, b'{"detail":"Not Found"}'), RetryReason.WRONG_URL),
        (faults.refused(405, "Method Not Allowed"), RetryReason.WRONG_URL),
        (faults.redirect("https://elsewhere.example/v1"), RetryReason.WRONG_URL),
        (faults.redirect("https://elsewhere.example/v1", 301), RetryReason.WRONG_URL),
        (Fault("redirect to nowhere", 302), RetryReason.WRONG_URL),
    ],
)
def test_what_a_later_call_may_cure_fails_no_task(fault: Fault, reason: RetryReason) -> None:
    error = classified(fault)
    assert isinstance(error, RetryableError)
    assert error.reason is reason


@pytest.mark.parametrize(
    ("fault", "blame"),
    [
        (faults.refused(400), Blame.SOME_TASKS),
        (faults.html_page(413), Blame.SOME_TASKS),
        (faults.refused(422), Blame.SOME_TASKS),
        (faults.refused(418), Blame.SOME_TASKS),
        (faults.forbidden(), Blame.WHOLE_UNIT),
        (faults.refused(451), Blame.WHOLE_UNIT),
        (faults.model_not_found(), Blame.WHOLE_UNIT),
        (faults.refused(404, "gone", code="model_not_found"), Blame.WHOLE_UNIT),
    ],
)
def test_what_no_later_call_will_cure_is_final(fault: Fault, blame: Blame) -> None:
    error = classified(fault)
    assert isinstance(error, NonRetryableError)
    assert error.blame is blame


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx2.ConnectError("[Errno 111] Connection refused"), RetryReason.CONNECTION),
        (httpx2.ReadError("[Errno 104] Connection reset by peer"), RetryReason.CONNECTION),
        (httpx2.RemoteProtocolError("Server disconnected"), RetryReason.CONNECTION),
        (httpx2.ProxyError("407 from the proxy"), RetryReason.CONNECTION),
        (httpx2.ConnectTimeout("slow"), RetryReason.TIMEOUT),
        (httpx2.ReadTimeout("slow"), RetryReason.TIMEOUT),
        (httpx2.PoolTimeout("slow"), RetryReason.TIMEOUT),
    ],
)
def test_trouble_on_the_way_is_retried(error: Exception, reason: RetryReason) -> None:
    found = classified_exception(error)
    assert isinstance(found, RetryableError)
    assert found.reason is reason
    assert "provider.example" in str(found)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (faults.rate_limited(), None),
        (faults.rate_limited(retry_after="7"), 7.0),
        (faults.rate_limited(retry_after_ms="250"), 0.25),
        (faults.rate_limited(retry_after="Tue, 14 Nov 2023 22:13:50 GMT"), 30.0),
        (faults.rate_limited(retry_after="soon"), None),
        (faults.server_error(503, retry_after="5"), 5.0),
    ],
)
def test_the_wait_that_the_provider_asks_for_is_kept(fault: Fault, seconds: float | None) -> None:
    error = classified(fault)
    assert isinstance(error, RetryableError)
    assert error.retry_after_seconds == seconds


def test_the_providers_own_words_reach_the_message() -> None:
    assert "text 3 is too long" in str(classified(faults.refused(400, "text 3 is too long")))


@pytest.mark.parametrize(
    "fault", [faults.unauthorized(f"bad key {KEY} given"), faults.refused(400, f"echo {KEY}")]
)
def test_the_key_is_never_in_a_message(fault: Fault) -> None:
    assert "0123456789" not in str(classified(fault))


def test_a_long_message_is_cut() -> None:
    assert len(str(classified(faults.refused(400, "x" * 100_000)))) <= 500


def test_a_redirect_names_the_host_and_nothing_more() -> None:
    message = str(classified(faults.redirect("https://elsewhere.example/v1?token=abc")))
    assert "https://elsewhere.example" in message
    assert "abc" not in message


def test_a_redirect_to_nonsense_is_still_a_wrong_address() -> None:
    error = classified(faults.redirect("http://[::1"))
    assert isinstance(error, RetryableError)
    assert error.reason is RetryReason.WRONG_URL
