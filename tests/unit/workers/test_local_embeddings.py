import builtins
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

import numpy as np
import pytest

from shared.errors import Blame, ConfigurationError, NonRetryableError
from shared.provider_accounts import LOCAL_MODEL
from workers.providers.local import LocalEmbeddings, load_model


@pytest.fixture
def local() -> LocalEmbeddings:
    return LocalEmbeddings()


@pytest.fixture
def _forget_the_model() -> Iterator[None]:
    load_model.cache_clear()
    yield
    load_model.cache_clear()


def closeness(local: LocalEmbeddings, one: str, other: str) -> float:
    first, second = local.embed([one, other], "any", None).vectors.good
    return float(np.dot(first, second))


def test_texts_alike_are_closer_than_texts_apart(local: LocalEmbeddings) -> None:
    alike = closeness(local, "The cat sleeps on the sofa", "A kitten naps on a couch")
    apart = closeness(local, "The cat sleeps on the sofa", "Interest rates rose by half a percent")
    assert alike > apart + 0.2


def test_vectors_have_unit_length_and_256_numbers(local: LocalEmbeddings) -> None:
    [row] = local.embed(["bread and butter"], "any", None).vectors.good
    assert row.shape == (256,)
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("dimensions", [64, 128, 256])
def test_a_shorter_vector_is_the_start_of_the_full_one(local: LocalEmbeddings, dimensions: int) -> None:
    [full] = local.embed(["bread and butter"], "any", None).vectors.good
    [cut] = local.embed(["bread and butter"], "any", dimensions).vectors.good
    start = full[:dimensions]
    assert np.allclose(cut, start / np.linalg.norm(start), atol=1e-6)


def test_a_length_it_does_not_have_is_refused_with_those_it_has(local: LocalEmbeddings) -> None:
    with pytest.raises(NonRetryableError, match="64, 128, 256") as caught:
        local.embed(["text"], "any", 1536)
    assert caught.value.blame is Blame.WHOLE_UNIT


def test_a_text_has_the_same_vector_alone_and_in_any_company(local: LocalEmbeddings) -> None:
    [alone] = local.embed(["a short one"], "any", None).vectors.good
    among = local.embed(["a much longer text " * 400, "a short one"], "any", None).vectors.good[1]
    assert np.allclose(alone, among, atol=1e-6)


def test_a_very_long_text_is_the_mean_of_all_its_tokens(local: LocalEmbeddings) -> None:
    [row] = local.embed(["sun " * 20_000], "any", None).vectors.good
    [once] = local.embed(["sun sun"], "any", None).vectors.good
    assert float(np.dot(row, once)) > 0.9


@pytest.mark.parametrize(
    ("text", "more_tokens"),
    [
        (" ".join(f"word{number % 977} and" for number in range(6_000)), 0),
        ("one two\n" * 5_000, 0),
        ("日本語テキスト" * 5_000, 10),
        ("\n".join(f"line{number % 977}" for number in range(6_000)), 10),
        ("two  spaces   or more  " * 3_000, 10),
        (" " * 40_000 + "far behind", 10),
        ("x" * 40_000, 10),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_a_text_read_in_pieces_has_the_vector_of_the_whole(
    local: LocalEmbeddings, text: str, more_tokens: int
) -> None:
    model = load_model()
    [encoding] = model.tokenizer.encode_batch([text], add_special_tokens=False)
    whole = model.embedding[encoding.ids].sum(axis=0, dtype=np.float64)
    embeddings = local.embed(["before", text, "behind"], "any", None)
    [before, row, behind] = embeddings.vectors.good
    assert np.allclose(row, whole / np.linalg.norm(whole), atol=1e-3 if more_tokens else 2e-5)
    words = 2
    assert abs(embeddings.usage.total_tokens - words - len(encoding.ids)) <= more_tokens
    for word, vector in (("before", before), ("behind", behind)):
        [alone] = local.embed([word], "any", None).vectors.good
        assert np.allclose(vector, alone, atol=1e-6)


def test_the_true_model_and_its_true_token_count_are_reported(local: LocalEmbeddings) -> None:
    embeddings = local.embed(["one two three"], "text-embedding-3-small", None)
    assert embeddings.model == LOCAL_MODEL
    assert embeddings.usage.prompt_tokens == embeddings.usage.total_tokens == 3


@pytest.mark.usefixtures("_forget_the_model")
def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_it(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if name == "wordllama":
            raise ImportError("No module named 'wordllama'")
        return real_import(name, globals_, locals_, fromlist or (), level)

    monkeypatch.setattr(builtins, "__import__", without_it)
    with pytest.raises(ConfigurationError, match=r"pip install -r requirements-local\.txt"):
        LocalEmbeddings()
