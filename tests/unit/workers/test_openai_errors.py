import ssl
from collections.abc import Callable

import httpx2
import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.metrics import WorkerMetrics
from tests.stubs import provider_faults as faults
from tests.stubs.provider_faults import Fault
from workers.providers.calls import ProviderCalls
from workers.providers.openai.client import OpenAIClient

KEY = "sk-the-real-key-0123456789"
URL = "https://provider.example/v1"
MODEL = "m"
WALL_SECONDS = 1_700_000_000.0


def classified(fault: Fault) -> TaskError:
    """The error that a client raises for this answer."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(fault.status, content=fault.body or b"", headers=dict(fault.headers))

    return _raised(answer)


def classified_exception(error: Exception) -> TaskError:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise error

    return _raised(answer)


def _raised(answer: Callable[[httpx2.Request], httpx2.Response]) -> TaskError:
    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = OpenAIClient(
            key=KEY,
            base_url=URL,
            timeout_seconds=60.0,
            http=http,
            calls=calls,
            wall_clock=lambda: WALL_SECONDS,
        )
        with pytest.raises(TaskError) as caught:
            client.embed(["x"], MODEL, None)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.server_error(500), RetryReason.SERVER_ERROR),
        (faults.rate_limited(), RetryReason.RATE_LIMIT),
        (faults.quota_exhausted(), RetryReason.QUOTA),
        (faults.unauthorized(), RetryReason.UNAUTHORIZED),
        (faults.html_not_found(), RetryReason.WRONG_URL),
        (faults.redirect("https://elsewhere.example/v1"), RetryReason.WRONG_URL),
        (faults.redirect("https://elsewhere.example/v1", 301), RetryReason.WRONG_URL),
        (Fault("redirect to nowhere", 302), RetryReason.WRONG_URL),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_the_sdks_error_for_a_refusal_is_read_from_its_answer(fault: Fault, reason: RetryReason) -> None:
    error = classified(fault)
    assert isinstance(error, RetryableError)
    assert error.reason is reason


def test_a_final_refusal_keeps_whose_fault_it_is() -> None:
    error = classified(faults.model_not_found())
    assert isinstance(error, NonRetryableError)
    assert error.blame is Blame.WHOLE_UNIT


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx2.ConnectError("[Errno 111] Connection refused"), RetryReason.CONNECTION),
        (httpx2.ConnectTimeout("timed out"), RetryReason.CONNECTION),
        (httpx2.PoolTimeout("no connection free"), RetryReason.CONNECTION),
        (httpx2.ProxyError("407 Proxy Authentication Required"), RetryReason.CONNECTION),
        (httpx2.UnsupportedProtocol("no scheme"), RetryReason.CONNECTION),
        (httpx2.LocalProtocolError("Illegal header value"), RetryReason.CONNECTION),
        (httpx2.ReadError("[Errno 104] Connection reset by peer"), RetryReason.DISCONNECTED),
        (httpx2.WriteError("[Errno 32] Broken pipe"), RetryReason.DISCONNECTED),
        (httpx2.RemoteProtocolError("Server disconnected"), RetryReason.DISCONNECTED),
        (httpx2.ReadTimeout("slow"), RetryReason.TIMEOUT),
        (httpx2.WriteTimeout("slow"), RetryReason.TIMEOUT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_was_never_sent_is_told_from_what_may_have_been_paid_for(
    error: Exception, reason: RetryReason
) -> None:
    found = classified_exception(error)
    assert isinstance(found, RetryableError)
    assert found.reason is reason
    assert "provider.example" in str(found)


def caused_by(deeper: Exception) -> httpx2.ConnectError:
    error = httpx2.ConnectError(str(deeper))
    error.__cause__ = deeper
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (caused_by(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (caused_by(ssl.SSLCertVerificationError("self-signed certificate")), "check SSL_CERT_FILE"),
        (caused_by(ssl.SSLError("WRONG_VERSION_NUMBER")), "check http or https in OPENAI_BASE_URL"),
        (httpx2.ProxyError("407 Proxy Authentication Required"), "the proxy refuses (407 Proxy"),
        (httpx2.LocalProtocolError(f"Illegal value {KEY}"), "check OPENAI_API_KEY, OPENAI_ORG_ID"),
        (httpx2.UnsupportedProtocol("no scheme"), "no scheme, check http or https in OPENAI_BASE_URL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_the_message_says_which_part_failed_and_what_to_check(error: Exception, words: str) -> None:
    message = str(classified_exception(error))
    assert words in message
    assert "0123456789" not in message


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
