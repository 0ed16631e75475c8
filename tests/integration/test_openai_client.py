"""Every row of the table of provider errors, through the real SDK, against a real server."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.messages import RateLimits
from shared.metrics import WorkerMetrics
from shared.models import Usage
from tests.stubs import provider_faults as faults
from tests.stubs.provider import StubProvider
from tests.stubs.provider_answer import tokens_in, vector_for
from tests.stubs.provider_faults import Delivery, Fault
from workers.providers.base import BadVector, Embeddings
from workers.providers.calls import ProviderCalls
from workers.providers.openai.client import OpenAIClient
from workers.providers.openai.http import ProviderHttp

KEY = "sk-integration-0123456789"
MODEL = "text-embedding-3-small"
TEXTS = ("first text", "second text", "third")
TIMEOUT_SECONDS = 0.5


class Connection:
    """The client as a worker has it, and what it has seen."""

    def __init__(self, base_url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.calls = ProviderCalls(WorkerMetrics(), time.monotonic)
        self.http = ProviderHttp(timeout_seconds, time.monotonic)
        self._client = OpenAIClient(
            key=KEY,
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            http=self.http,
            calls=self.calls,
            wall_clock=time.time,
            proxy=self.http.proxy_of(base_url),
        )

    def embed(self, texts: Sequence[str] = TEXTS, dimensions: int | None = None) -> Embeddings:
        return self._client.embed(texts, MODEL, dimensions)


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dimensions=16) as provider:
        yield provider


@pytest.fixture
def connection(provider: StubProvider) -> Iterator[Connection]:
    connection = Connection(provider.base_url)
    with connection.http:
        yield connection


def rows_of(embeddings: Embeddings) -> list[list[float]]:
    return [row.astype(np.float32).tolist() for row in embeddings.vectors.good]


def expected_rows(texts: Sequence[str] = TEXTS, dimensions: int = 16) -> list[list[float]]:
    return [vector_for(text, dimensions).tolist() for text in texts]


def test_each_text_gets_its_own_vector_in_one_call(provider: StubProvider, connection: Connection) -> None:
    embeddings = connection.embed()
    assert rows_of(embeddings) == expected_rows()
    assert embeddings.model == MODEL
    assert embeddings.usage == Usage(tokens_in(TEXTS), tokens_in(TEXTS))
    [call] = provider.calls
    assert call.texts == TEXTS
    assert call.encoding_format == "base64"
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.headers["accept-encoding"] == "identity"


def test_dimensions_are_passed_on(provider: StubProvider, connection: Connection) -> None:
    assert rows_of(connection.embed(dimensions=8)) == expected_rows(dimensions=8)
    assert provider.calls[0].dimensions == 8


def test_two_thousand_texts_fit_one_call(provider: StubProvider) -> None:
    texts = [f"text number {number} \N{SNOWMAN}" for number in range(2048)]
    connection = Connection(provider.base_url, timeout_seconds=20.0)
    with connection.http:
        assert rows_of(connection.embed(texts)) == expected_rows(texts)
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.float_lists(),
        faults.reversed_order(),
        faults.no_index(),
        faults.no_zero_index(),
        faults.gzipped(),
        faults.gzipped(declared=False),
        faults.declared_gzip(),
    ],
    ids=lambda fault: fault.name,
)
def test_servers_with_other_habits_are_served_too(
    provider: StubProvider, connection: Connection, fault: Fault
) -> None:
    provider.script(fault)
    assert rows_of(connection.embed()) == expected_rows()


def test_an_answer_without_usage_reports_none_it_made_up(
    provider: StubProvider, connection: Connection
) -> None:
    provider.script(faults.no_usage())
    assert connection.embed().usage == Usage(0, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.rate_limited(), RetryReason.RATE_LIMIT),
        (faults.quota_exhausted(), RetryReason.QUOTA),
        (faults.unauthorized(), RetryReason.UNAUTHORIZED),
        (faults.html_not_found(), RetryReason.WRONG_URL),
        (faults.server_error(500), RetryReason.SERVER_ERROR),
        (faults.html_page(503), RetryReason.SERVER_ERROR),
        (faults.refused(408), RetryReason.SERVER_ERROR),
        (faults.refused(409), RetryReason.SERVER_ERROR),
        (faults.hang(), RetryReason.TIMEOUT),
        (faults.hang_in_body(), RetryReason.TIMEOUT),
        (faults.drip(), RetryReason.TIMEOUT),
        (faults.reset(), RetryReason.DISCONNECTED),
        (faults.truncated(), RetryReason.DISCONNECTED),
        (faults.garbage(), RetryReason.BAD_RESPONSE),
        (faults.garbage(b"<html>login</html>"), RetryReason.BAD_RESPONSE),
        (faults.garbage(b""), RetryReason.BAD_RESPONSE),
        (faults.compressed(), RetryReason.BAD_RESPONSE),
        (faults.fewer_vectors(), RetryReason.BAD_RESPONSE),
        (faults.more_vectors(), RetryReason.BAD_RESPONSE),
        (faults.repeated_index(), RetryReason.BAD_RESPONSE),
        (faults.not_a_number(), RetryReason.BAD_RESPONSE),
        (faults.empty_vector(), RetryReason.BAD_RESPONSE),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_trouble_of_the_provider_fails_no_task_and_passes(
    provider: StubProvider, connection: Connection, fault: Fault, reason: RetryReason
) -> None:
    provider.script(fault)
    with pytest.raises(RetryableError) as caught:
        connection.embed()
    assert caught.value.reason is reason
    assert len(provider.calls) == 1, "the SDK must not retry by itself"
    assert rows_of(connection.embed()) == expected_rows(), "the client must be fit for the next call"


@pytest.mark.parametrize(
    ("fault", "blame"),
    [
        (faults.refused(400), Blame.SOME_TASKS),
        (faults.refused(413), Blame.SOME_TASKS),
        (faults.refused(422), Blame.SOME_TASKS),
        (faults.forbidden(), Blame.WHOLE_UNIT),
        (faults.model_not_found(MODEL), Blame.WHOLE_UNIT),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_a_refusal_is_final_and_says_whose_fault_it_is(
    provider: StubProvider, connection: Connection, fault: Fault, blame: Blame
) -> None:
    provider.script(fault)
    with pytest.raises(NonRetryableError) as caught:
        connection.embed()
    assert caught.value.blame is blame


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (faults.rate_limited(retry_after="7"), 7.0),
        (faults.rate_limited(retry_after_ms="1500"), 1.5),
        (faults.rate_limited(retry_after="Thu, 01 Jan 1970 00:00:00 GMT"), None),
        (faults.rate_limited(), None),
    ],
)
def test_the_wait_asked_for_is_handed_on(
    provider: StubProvider, connection: Connection, fault: Fault, seconds: float | None
) -> None:
    provider.script(fault)
    with pytest.raises(RetryableError) as caught:
        connection.embed()
    assert caught.value.retry_after_seconds == seconds


def test_dimensions_that_were_ignored_are_noticed(provider: StubProvider, connection: Connection) -> None:
    provider.script(faults.ignored_dimensions())
    with pytest.raises(NonRetryableError, match="asked for 8, the server sends 7") as caught:
        connection.embed(dimensions=8)
    assert caught.value.blame is Blame.WHOLE_UNIT


def test_one_bad_vector_spoils_no_other(provider: StubProvider, connection: Connection) -> None:
    provider.script(faults.wrong_dimension())
    embeddings = connection.embed()
    assert rows_of(embeddings) == expected_rows()[:-1]
    assert isinstance(embeddings.vectors.rows[-1], BadVector)


def test_an_error_with_status_200_is_the_error_it_is(provider: StubProvider, connection: Connection) -> None:
    provider.script(faults.error_in_success(code=429))
    with pytest.raises(RetryableError, match="upstream says no") as caught:
        connection.embed()
    assert caught.value.reason is RetryReason.RATE_LIMIT


def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(
    provider: StubProvider, connection: Connection
) -> None:
    provider.script(replace(faults.unauthorized(), delivery=Delivery.HALF_THEN_CLOSE))
    with pytest.raises(RetryableError) as caught:
        connection.embed()
    assert caught.value.reason is RetryReason.UNAUTHORIZED


def test_the_key_never_follows_a_redirect(provider: StubProvider, connection: Connection) -> None:
    with StubProvider() as elsewhere:
        provider.script(faults.redirect(f"{elsewhere.base_url}/embeddings"))
        with pytest.raises(RetryableError) as caught:
            connection.embed()
        assert caught.value.reason is RetryReason.WRONG_URL
        assert elsewhere.calls == []


def test_a_base_url_without_the_api_is_a_wrong_address(provider: StubProvider) -> None:
    connection = Connection(provider.url)
    with connection.http, pytest.raises(RetryableError, match="OPENAI_BASE_URL") as caught:
        connection.embed()
    assert caught.value.reason is RetryReason.WRONG_URL


def test_a_server_that_is_not_there_is_a_matter_of_connection() -> None:
    with StubProvider() as gone:
        base_url = gone.base_url
    connection = Connection(base_url)
    with connection.http, pytest.raises(RetryableError, match="refused") as caught:
        connection.embed()
    assert caught.value.reason is RetryReason.CONNECTION


def test_limits_are_read_from_the_headers(provider: StubProvider, connection: Connection) -> None:
    provider.headers = {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1.5s"}
    connection.embed()
    assert connection.calls.rate_limits == RateLimits(remaining_requests=59, reset_requests_seconds=1.5)


def test_only_the_guilty_texts_are_refused(provider: StubProvider, connection: Connection) -> None:
    provider.policy = faults.refuse_texts_with("POISON")
    with pytest.raises(NonRetryableError, match="POISON"):
        connection.embed(["good", "POISON"])
    assert rows_of(connection.embed(["good"])) == expected_rows(["good"])
    assert provider.paid == {"good": 1}
