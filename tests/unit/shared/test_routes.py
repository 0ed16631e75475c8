"""Which provider serves which model, and what is said where none does."""

import pytest
from pydantic import SecretStr

from shared.models import BatchKey
from shared.provider_accounts import LOCAL_MODEL, ProviderFields
from shared.routes import Routes
from tests.builders import make_settings

SERVER = ProviderFields(base_url="http://host/v1")
EMBEDDING, GENERATION = "text-embedding", "text-generation"


def routes(**settings: object) -> Routes:
    return Routes.from_settings(make_settings(**settings))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("nomic-embed-text", ("ollama",)),
        ("nomic-large", ("first",)),
        ("NOMIC-embed", ("openai",)),
        ("gpt-5", ("openai", "azure")),
        ("other", ("openai",)),
    ],
)
def test_first_pattern_that_matches_counts(model: str, names: tuple[str, ...]) -> None:
    table = {"nomic-large": ("first",), "nomic-*": ("ollama",), "gpt-[45]*": ("openai", "azure")}
    assert routes(model_routes=table).serving(BatchKey(EMBEDDING, model)) == names


@pytest.mark.parametrize(
    ("settings", "embeds", "generates"),
    [
        ({}, "openai", "openai"),
        ({"embedding_provider": "local"}, "local", None),
        ({"embedding_provider": "local", "openai_api_key": SecretStr("sk-1")}, "local", "openai"),
        ({"embedding_provider": "local", "providers": {"a": SERVER}}, "local", "a"),
        ({"embedding_provider": "local", "providers": {"a": SERVER, "b": SERVER}}, "local", None),
        ({"embedding_provider": "b", "providers": {"a": SERVER, "b": SERVER}}, "b", None),
        (
            {"embedding_provider": "a", "providers": {"a": SERVER}, "openai_api_key": SecretStr("k")},
            "a",
            "openai",
        ),
    ],
)
def test_default_of_embeddings_and_of_all_else(
    settings: dict[str, object], embeds: str, generates: str | None
) -> None:
    found = routes(**settings)
    assert found.serving(BatchKey(EMBEDDING, LOCAL_MODEL)) == (embeds,)
    why = found.why_not(BatchKey(GENERATION, "gpt"))
    if generates is None:
        assert why == 'no provider serves the model "gpt"; set MODEL_ROUTES'
    else:
        assert why is None
        assert found.serving(BatchKey(GENERATION, "gpt")) == (generates,)


def test_named_model_is_never_answered_by_the_embedded_one() -> None:
    found = routes(embedding_provider="local")
    why = found.why_not(BatchKey(EMBEDDING, "text-embedding-3-large"))
    assert why is not None
    assert why.startswith(f'the embedded model is {LOCAL_MODEL}, not "text-embedding-3-large"')
    assert found.why_not(BatchKey(EMBEDDING, LOCAL_MODEL)) is None


def test_route_says_otherwise() -> None:
    found = routes(
        embedding_provider="local", model_routes={"text-*": ("a",)}, providers={"a": SERVER, "b": SERVER}
    )
    key = BatchKey(EMBEDDING, "text-embedding-3-large")
    assert (found.why_not(key), found.serving(key)) == (None, ("a",))


def test_provider_that_the_task_type_names_wins_if_there_is_one() -> None:
    found = routes(model_routes={"*": ("a",)}, providers={"a": SERVER, "b": SERVER})
    assert found.serving(BatchKey("x", "m", provider="b")) == ("b",)
    assert found.why_not(BatchKey("x", "m", provider="b")) is None
    assert found.why_not(BatchKey("x", "m", provider="c")) == 'there is no provider "c": see PROVIDERS'


def test_work_without_a_model_needs_no_provider_and_shares_none() -> None:
    found = routes(embedding_provider="local")
    assert found.why_not(BatchKey("word-count")) is None
    assert found.serving(BatchKey("word-count")) == ("word-count",)


@pytest.mark.parametrize(
    ("settings", "embeds", "generates"),
    [
        ({}, "text-embedding-3-small", None),
        ({"embedding_provider": "local"}, LOCAL_MODEL, None),
        ({"embedding_model": "nomic", "generation_model": "gpt"}, "nomic", "gpt"),
    ],
)
def test_model_of_tasks_that_name_none(
    settings: dict[str, object], embeds: str, generates: str | None
) -> None:
    found = routes(**settings)
    assert (found.default_model(EMBEDDING), found.default_model(GENERATION)) == (embeds, generates)
