import pytest

from shared.errors import RetryableError, RetryReason
from workers.providers.openai.answer import Item, in_order


def ordered(*indices: object, texts: int | None = None) -> list[str | None]:
    """The entries a, b, c of items with these indices, in the order of the texts."""
    items: list[Item] = [
        {"embedding": entry} | ({} if index == "absent" else {"index": index})
        for entry, index in zip("abcdef", indices, strict=False)
    ]
    found = in_order(items, len(items) if texts is None else texts)
    return [None if item is None else str(item["embedding"]) for item in found]


@pytest.mark.parametrize(
    ("indices", "order"),
    [
        ((0, 1, 2), "abc"),
        ((2, 0, 1), "bca"),
        (("absent", "absent", "absent"), "abc"),
        ((None, None, None), "abc"),
        (("absent", 1, 2), "abc"),
        ((2, "absent", 1), "bca"),
        ((0, None, 2), "abc"),
        (("2", "0", "1"), "bca"),
        ((2.0, 0.0, 1.0), "bca"),
        ((3, 1, 2), "bca"),
        ((None, None, 2), "abc"),
    ],
)
def test_each_text_gets_its_own_item(indices: tuple[object, ...], order: str) -> None:
    assert ordered(*indices) == list(order)


@pytest.mark.parametrize("index", [0, 1, -1, None, "absent", "x", True, 1.5, [0]])
def test_a_text_alone_gets_the_one_item_whatever_its_index(index: object) -> None:
    assert ordered(index) == ["a"]


@pytest.mark.parametrize(
    ("indices", "complaint"),
    [
        ((0, 0, 0), "one at a time"),
        ((1, 1, 1), "one at a time"),
        ((0, 1, 1), "one at a time"),
        ((None, None, 0), "missing in 2 of 3"),
        ((None, 1, 1), "missing in 1 of 3"),
        ((0, 1, 7), "out of range"),
        ((0, 1, -2), "no place in a list"),
        ((0, 1, "two"), "no place in a list"),
        ((0, 1, 1.5), "no place in a list"),
        ((False, True, 2), "no place in a list"),
    ],
)
def test_an_order_that_is_not_certain_is_not_guessed_at(indices: tuple[object, ...], complaint: str) -> None:
    with pytest.raises(RetryableError, match=complaint) as caught:
        ordered(*indices)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_a_gap_before_the_last_text_is_certain() -> None:
    assert ordered(2, 0, texts=3) == ["b", None, "a"]


@pytest.mark.parametrize("indices", [(0, 1), (1, 1), (None, 2), (2, 2), (0, 3)])
def test_items_that_may_have_been_numbered_anew_are_not_trusted(indices: tuple[object, ...]) -> None:
    with pytest.raises(RetryableError, match="2 vectors for 3 texts"):
        ordered(*indices, texts=3)


@pytest.mark.parametrize(("count", "texts"), [(0, 1), (0, 3), (3, 2), (2, 1)])
def test_too_many_or_none_are_refused(count: int, texts: int) -> None:
    with pytest.raises(RetryableError, match=f"{count} vectors for {texts} texts"):
        ordered(*range(count), texts=texts)
