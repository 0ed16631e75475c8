"""PROVIDERS and MODEL_ROUTES: where they come from, and what is said when they are wrong."""

import json

import pytest

from shared.errors import ConfigurationError
from shared.loading import find_unknown_names, load_settings
from shared.provider_accounts import ProviderAccount
from tests.unit.shared.conftest import Surroundings

SECRET = "sk-very-secret-1"


@pytest.fixture
def keyless(surroundings: Surroundings) -> Surroundings:
    """Everything that is required, but no key of OpenAI."""
    surroundings.set(API_BASE_URL="http://api.test", EMBEDDING_PROVIDER="local")
    return surroundings


def fault() -> str:
    """The one fault there is, which repeats no key."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    (line,) = caught.value.faults
    assert SECRET not in line
    assert "\n" not in line
    return line


def account(name: str) -> ProviderAccount:
    return load_settings().accounts[name]


def key_of(name: str) -> str | None:
    key = account(name).api_key
    return None if key is None else key.get_secret_value()


def test_provider_comes_from_json(keyless: Surroundings) -> None:
    fields = {"base_url": "http://host:8000/v1/", "api_key": SECRET, "requests_per_minute": 5}
    keyless.set(PROVIDERS=json.dumps({"Other": fields}))
    found = account("other")
    assert (found.base_url, found.requests_per_minute, found.tokens_per_minute) == (
        "http://host:8000/v1",
        5,
        0,
    )
    assert key_of("other") == SECRET


def test_provider_comes_from_single_variables_and_files(keyless: Surroundings) -> None:
    keyless.set(
        PROVIDERS__OLLAMA__BASE_URL="'http://host:11434/v1'", PROVIDERS__OLLAMA__TOKENS_PER_MINUTE="70"
    )
    keyless.mount("providers__ollama__api_key", f"{SECRET}\n")
    keyless.write_env_file("PROVIDERS__AZURE__BASE_URL=https://x.openai.azure.com/openai/v1\n")
    keyless.credential("providers__azure__api_key", SECRET)
    found = account("ollama")
    assert (found.kind, found.base_url, found.tokens_per_minute) == ("openai", "http://host:11434/v1", 70)
    assert key_of("ollama") == key_of("azure") == SECRET
    assert account("azure").base_url == "https://x.openai.azure.com/openai/v1"


def test_single_variable_wins_over_json_and_the_environment_over_a_file(keyless: Surroundings) -> None:
    keyless.set(PROVIDERS='{"a": {"base_url": "http://json/v1", "requests_per_minute": 1}}')
    keyless.set(PROVIDERS__A__BASE_URL="http://variable/v1")
    keyless.mount("providers__a__base_url", "http://file/v1")
    found = account("a")
    assert (found.base_url, found.requests_per_minute) == ("http://variable/v1", 1)


def test_one_variable_may_hold_all_fields_of_a_provider(keyless: Surroundings) -> None:
    keyless.set(PROVIDERS__A='{"base_url": "http://host/v1"}', PROVIDERS__A__API_KEY=SECRET)
    assert (account("a").base_url, key_of("a")) == ("http://host/v1", SECRET)


@pytest.mark.parametrize("key", ["12345678", "null", "1e5", "true", "{x}y"])
def test_key_that_looks_like_json_is_a_key(keyless: Surroundings, key: str) -> None:
    keyless.set(PROVIDERS__A__BASE_URL="http://host/v1", PROVIDERS__A__API_KEY=key)
    assert key_of("a") == key


def test_keys_of_providers_are_in_no_repr(keyless: Surroundings) -> None:
    keyless.set(PROVIDERS__A__BASE_URL="http://host/v1", PROVIDERS__A__API_KEY=SECRET)
    loaded = load_settings()
    assert SECRET not in f"{loaded!r} {loaded.accounts!r} {loaded.model_dump()!r}"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PROVIDERS", "[]", "PROVIDERS: must be a JSON object, such as"),
        ("PROVIDERS", f'{{"a": {{"api_key": "{SECRET}" "b": 1}}}}', "PROVIDERS: is no JSON (line 1, column"),
        (
            "PROVIDERS",
            '{"a": {"base_url": "http://h/v1"}, "A": {"base_url": "http://h/v1"}}',
            "has 'a' twice",
        ),
        ("PROVIDERS", '{"a": 3}', "PROVIDERS__A: must be a JSON object, such as"),
        ("PROVIDERS", '{"openai": {}}', "which is the provider of the OPENAI_* settings"),
        ("PROVIDERS", '{"local": {}}', "which is the embedded model"),
        ("PROVIDERS", '{"api": {"base_url": "http://h"}}', "which is the task API"),
        ("PROVIDERS", '{"a b": {"base_url": "http://h"}}', "a name of a provider that cannot be one"),
        ("PROVIDERS", '{"a__b": {"base_url": "http://h"}}', "a name of a provider that cannot be one"),
        ("PROVIDERS", "[" * 100_000, "PROVIDERS: is no JSON"),
        (
            "PROVIDERS__A__BASE_ULR",
            "http://h",
            "A__BASE_ULR: is no field of a provider; did you mean BASE_URL?",
        ),
        (
            "PROVIDERS__A__COLOUR",
            "red",
            "PROVIDERS__A__COLOUR: is no field of a provider; there are API_KEY, BASE_URL",
        ),
        ("PROVIDERS__A__BASE_URL", "host:80", "PROVIDERS__A__BASE_URL: must be an address like"),
        (
            "PROVIDERS__A__BASE_URL",
            f"http://u:{SECRET}@h",
            "PROVIDERS__A__BASE_URL: must not carry a user or password",
        ),
        ("PROVIDERS__A__REQUESTS_PER_MINUTE", "-1", "PROVIDERS__A__REQUESTS_PER_MINUTE: must be greater"),
        (
            "PROVIDERS__A__REQUESTS_PER_MINUTE",
            "many",
            "PROVIDERS__A__REQUESTS_PER_MINUTE: must be a valid integer",
        ),
        ("PROVIDERS__A__API_KEY", f"{SECRET} {SECRET}", "PROVIDERS__A__API_KEY: must be printable ASCII"),
        ("PROVIDERS__A__API_KEY", "<your-key>", "PROVIDERS__A__API_KEY: is the placeholder of an example"),
        ("PROVIDERS__A__KIND", "a b", "PROVIDERS__A__KIND: "),
        ("PROVIDERS__B__TOKENS_PER_MINUTE", "1", "PROVIDERS__B: api_key is required for api.openai.com"),
        ("MODEL_ROUTES", "nomic", "MODEL_ROUTES: is no JSON"),
        (
            "MODEL_ROUTES",
            '{"x": "olama"}',
            'MODEL_ROUTES: sends "x" to "olama", but the providers are openai, local, a',
        ),
        ("MODEL_ROUTES", '{"x": []}', 'MODEL_ROUTES: must give "x" the name of a provider'),
        ("MODEL_ROUTES", '{"x": {"a": 1}}', 'MODEL_ROUTES: must give "x" the name of a provider'),
        ("MODEL_ROUTES", '{"": "a"}', "MODEL_ROUTES: has an empty pattern"),
        ("MODEL_ROUTES", '{"x": "a", "x": "local"}', "MODEL_ROUTES: has 'x' twice"),
        ("MODEL_ROUTES", '{"x": ["a", "local"]}', "stands in for no other"),
        ("MODEL_ROUTES", '{"x": "openai"}', "OPENAI_API_KEY: is required"),
        ("EMBEDDING_PROVIDER", "olama", "EMBEDDING_PROVIDER: must be one of openai, local, a"),
        ("EMBEDDING_MODEL", "text-embedding-3-large", "EMBEDDING_MODEL: the embedded model is wordllama"),
    ],
)
def test_fault_names_the_variable_and_what_to_do(
    keyless: Surroundings, variable: str, value: str, said: str
) -> None:
    if variable != "PROVIDERS":
        keyless.set(PROVIDERS='{"a": {"base_url": "http://host/v1"}}')
    keyless.set(**{variable: value})
    assert said in fault()


def test_generation_model_that_nobody_serves_is_a_fault(keyless: Surroundings) -> None:
    keyless.set(GENERATION_MODEL="gpt")
    assert fault() == 'GENERATION_MODEL: no provider serves the model "gpt"; set MODEL_ROUTES'


@pytest.mark.parametrize(
    "settings",
    [
        {"EMBEDDING_PROVIDER": "a"},
        {"EMBEDDING_PROVIDER": "A", "MODEL_ROUTES": '{"*": ["a"]}'},
        {"EMBEDDING_PROVIDER": "local", "OPENAI_API_KEY": "your-openai-api-key"},
    ],
)
def test_key_of_openai_is_needed_only_where_it_is_used(
    surroundings: Surroundings, settings: dict[str, str]
) -> None:
    surroundings.set(API_BASE_URL="http://api.test", PROVIDERS__A__BASE_URL="http://host/v1", **settings)
    assert load_settings().openai_api_key is None


def test_setting_of_a_provider_is_known_by_its_name(keyless: Surroundings) -> None:
    keyless.set(PROVIDERS__A__BASE_URL="http://host/v1")
    keyless.write_env_file("PROVIDERS__B__BASE_URL=http://host/v1\n")
    assert find_unknown_names() == []
    assert account("a").setting("base_url") == "PROVIDERS__A__BASE_URL"
    assert account("openai").setting("api_key") == "OPENAI_API_KEY"


def test_providers_in_use_begin_with_that_of_embeddings(keyless: Surroundings) -> None:
    keyless.set(PROVIDERS__A__BASE_URL="http://host/v1", OPENAI_API_KEY="sk-test-key-1")
    assert load_settings().providers_in_use == ("local", "a", "openai")


def test_file_of_a_provider_that_cannot_be_read_is_a_fault(keyless: Surroundings) -> None:
    keyless.mount("providers__a__api_key", b"\xff\xfe")
    assert "is not UTF-8 text" in fault()
