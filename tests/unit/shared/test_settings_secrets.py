"""Keys, tokens and addresses: what is accepted, and that no message ever repeats a secret."""

import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.loading import load_settings
from shared.provider_accounts import LOCAL
from tests.unit.shared.conftest import Surroundings

SECRET = "hunter2-very-secret"


def faults() -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return caught.value.faults


@pytest.mark.parametrize(
    "key",
    [
        "",
        "   ",
        "your-openai-api-key",
        "your-openai-api-key-here",
        "your_openai_api_key_here",
        "your_key",
        "your-key-here",
        "YOUR_API_KEY",
        "sk-your-key",
        "put_your_key_here",
        "<your key>",
        "<key>",
        "yourkey",
        "sk-...",
        "sk-proj-...",
        "sk-abc...",
        "***",
        "changeme",
        "CHANGE_ME",
        "replace_me",
        "todo",
        "TBD",
        "${OPENAI_API_KEY}",
        "$OPENAI_API_KEY",
        "{{ openai_api_key }}",
        "%OPENAI_API_KEY%",
        "insert-key-here",
        "api-key-goes-here",
        "change-this",
        "placeholder",
    ],
)
@pytest.mark.parametrize("url", ["", "http://llm.test/v1"])
def test_placeholder_counts_as_no_key(complete: Surroundings, key: str, url: str) -> None:
    complete.set(OPENAI_API_KEY=key, OPENAI_BASE_URL=url)
    (line,) = faults()
    assert line.startswith("OPENAI_API_KEY: is required")


@pytest.mark.parametrize(
    "word",
    [
        "none",
        "None",
        "null",
        "dummy",
        "EMPTY",
        "ollama",
        "sk-no-key-required",
        "not-needed",
        "lm-studio",
        "xxx",
        "sk-xxxx",
        "sk-xxxx-xxxx",
        "sk-1234",
        "0",
        "no_key",
        "api-key",
        "my-key",
        "n/a",
    ],
)
class TestWordForNoKey:
    @pytest.mark.parametrize("url", ["", "https://api.openai.com/v1", "https://API.openai.com/v1"])
    def test_it_is_missing_where_the_provider_is_openai(
        self, complete: Surroundings, word: str, url: str
    ) -> None:
        complete.set(OPENAI_API_KEY=word, OPENAI_BASE_URL=url)
        (line,) = faults()
        assert line.startswith("OPENAI_API_KEY: is required, and what is set is a placeholder")

    def test_it_is_the_key_of_another_server(self, complete: Surroundings, word: str) -> None:
        complete.set(OPENAI_API_KEY=word, OPENAI_BASE_URL="http://llm.test/v1")
        key = load_settings().openai_api_key
        assert key is not None
        assert key.get_secret_value() == word


@pytest.mark.parametrize("name", ["API_TOKEN", "WAKE_TOKEN"])
@pytest.mark.parametrize("token", ["your-api-token", "your_token_here", "<token>", "${API_TOKEN}", "..."])
def test_placeholder_of_a_token_is_refused(complete: Surroundings, name: str, token: str) -> None:
    complete.set(**{name: token})
    (line,) = faults()
    assert line == f"{name}: is the placeholder of an example; set the real one, or none at all"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-Zk3_9aQ-xY",
        "changeme",
        "secret",
        "none",
        "token",
        "$2b$12$Kx9.aB",
        "(x7%",
        "Your4Eyes",
        "a.b.c",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_1",
        "2b7e151628aed2a6",
        "example-token",
        "my-token-1",
    ],
)
def test_token_that_could_be_real_is_taken(complete: Surroundings, secret: str) -> None:
    complete.set(API_TOKEN=secret)
    token = load_settings().api_token
    assert token is not None
    assert token.get_secret_value() == secret


@pytest.mark.parametrize("key", [None, "your-openai-api-key", "none", "sk-some"])
def test_local_model_needs_no_key(surroundings: Surroundings, key: str | None) -> None:
    surroundings.set(API_BASE_URL="http://api.test", EMBEDDING_PROVIDER="local")
    if key is not None:
        surroundings.set(OPENAI_API_KEY=key)
    assert load_settings().embedding_provider == LOCAL


def test_secrets_lose_the_space_around_them(complete: Surroundings) -> None:
    complete.set(API_TOKEN="  abc \n", OPENAI_API_KEY="\tsk-1 ")
    loaded = load_settings()
    assert loaded.api_token is not None
    assert loaded.openai_api_key is not None
    assert loaded.api_token.get_secret_value() == "abc"
    assert loaded.openai_api_key.get_secret_value() == "sk-1"


@pytest.mark.parametrize("name", ["API_TOKEN", "OPENAI_API_KEY", "WAKE_TOKEN"])
@pytest.mark.parametrize("break_in", [" ", "\n", "\r\nX-Evil: 1", "é", "\x7f", "“"])
def test_secret_unfit_for_a_header_is_refused_without_repeating_it(
    complete: Surroundings, name: str, break_in: str
) -> None:
    complete.set(**{name: f"{SECRET}{break_in}{SECRET}"})
    (line,) = faults()
    assert line == f"{name}: must be printable ASCII without spaces, as it is sent in a header"


def test_secrets_are_not_in_the_repr(complete: Surroundings) -> None:
    complete.set(API_TOKEN=SECRET, OPENAI_API_KEY=SECRET, WAKE_TOKEN=SECRET)
    loaded = load_settings()
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded)
    assert SECRET not in str(loaded.model_dump())
    assert SECRET not in loaded.model_dump_json()


def test_secrets_are_not_in_the_traceback_of_a_fault(complete: Surroundings) -> None:
    complete.set(API_TOKEN=f"{SECRET} {SECRET}", OPENAI_API_KEY=SECRET, METRICS_PORT="no")
    try:
        load_settings()
    except ConfigurationError:
        told = traceback.format_exc()
    assert SECRET not in told


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://api.test", "http://api.test"),
        (" https://api.test:8443/base/ ", "https://api.test:8443/base"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://[fe80::1%25eth0]:8000/v1/", "http://[fe80::1%25eth0]:8000/v1"),
        ("http://task_api:8000", "http://task_api:8000"),
        ("http://API.test.", "http://API.test."),
        ("http://127.1:8000", "http://127.1:8000"),
        (f"http://{'a' * 61}:8000", f"http://{'a' * 61}:8000"),
        (f"http://{'a' * 63}.{'b' * 63}.test", f"http://{'a' * 63}.{'b' * 63}.test"),
        ("http://Bücher.test:81/a", "http://xn--bcher-kva.test:81/a"),
        ("http://api.test/%C3%A4", "http://api.test/%C3%A4"),
    ],
)
def test_address_is_kept_without_its_last_slash(complete: Surroundings, address: str, kept: str) -> None:
    complete.set(API_BASE_URL=address, OPENAI_BASE_URL=address)
    loaded = load_settings()
    assert loaded.api_base_url == loaded.openai_base_url == kept


@pytest.mark.parametrize("name", ["API_BASE_URL", "OPENAI_BASE_URL"])
@pytest.mark.parametrize(
    "address",
    [
        "api.test",
        "ftp://api.test",
        "http://",
        "http:///path",
        "http://api.test?x=1",
        "http://api.test#top",
        "http://api.test:port",
        "http://api.test:99999",
        "http://[::1",
        "javascript:alert(1)",
        "http:/host",
        "http:host",
        "//host",
        "http://api.test:0",
        "http://api.test:-1",
        f"http://{'a' * 64}.test",
        f"http://{'a.' * 130}test:80",
        "http://a..b",
        "http://.test",
        "http://api test",
        "http://api\ntest",
        "http://api.test/a b",
        "http://api.test/ä",
        "http://api\\test",
        "http://*.test",
        "http://\u2010\u3002\u3002test",
        f"http://{'ü' * 70}.test",
        "http://[::1]]",
        "http://[fe80::xyz]",
        "http://[127.0.0.1]",
        "http://300.1.1.1",
        "http://1.2.3.4.5",
        "http://%61pi.test",
    ],
)
def test_address_that_is_none_is_one_line(complete: Surroundings, name: str, address: str) -> None:
    complete.set(**{name: address})
    (line,) = faults()
    assert line.startswith(f"{name}: ")
    assert "\n" not in line


@pytest.mark.parametrize("name", ["API_BASE_URL", "OPENAI_BASE_URL"])
@pytest.mark.parametrize(
    "address",
    [
        f"http://user:{SECRET}@api.test",
        f"http://{SECRET}@api.test",
        f"http://user:{SECRET}@ap\u2100i.test",
        f"http://user:[{SECRET}]@api.test",
        f"http://user@:{SECRET}",
        f"http://user:{SECRET}@api.test:port",
        f"http://api.test?token={SECRET}",
    ],
    ids=["plain", "as user", "odd letter", "brackets", "as port", "bad port", "query"],
)
def test_secret_within_an_address_is_refused_without_repeating_it(
    complete: Surroundings, name: str, address: str
) -> None:
    complete.set(**{name: address})
    assert SECRET not in "".join(faults())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text(":/@[]#?.%a\u2100", max_size=4), after=st.text(":/@[]#?.%a\u2100", max_size=4))
def test_no_way_of_writing_a_password_gets_it_repeated(
    complete: Surroundings, before: str, after: str
) -> None:
    complete.set(API_BASE_URL=f"http://user:{before}{SECRET}{after}@api.test")
    try:
        load_settings()
    except ConfigurationError as error:
        assert SECRET not in str(error)
