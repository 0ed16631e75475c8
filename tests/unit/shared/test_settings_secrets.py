"""Keys, tokens and addresses: what is accepted, and that no message ever repeats a secret."""

import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.models import Provider
from shared.settings import PLACEHOLDER_KEY, load_settings
from tests.unit.shared.conftest import Surroundings

SECRET = "hunter2-very-secret"


def faults() -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return caught.value.faults


@pytest.mark.parametrize("key", ["", "   ", PLACEHOLDER_KEY, f"{PLACEHOLDER_KEY}-here"])
def test_placeholder_counts_as_no_key(complete: Surroundings, key: str) -> None:
    complete.set(OPENAI_API_KEY=key)
    (line,) = faults()
    assert line.startswith("OPENAI_API_KEY: is required")


@pytest.mark.parametrize("key", [None, PLACEHOLDER_KEY, "sk-some"])
def test_local_model_needs_no_key(surroundings: Surroundings, key: str | None) -> None:
    surroundings.set(API_BASE_URL="http://api.test", EMBEDDING_PROVIDER="local")
    if key is not None:
        surroundings.set(OPENAI_API_KEY=key)
    assert load_settings().embedding_provider is Provider.LOCAL


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
