"""A page that is not quite JSON is read item by item, in time and memory that its size bounds."""

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models import JsonValue
from supervisor.task_api.lenient_json import UNREADABLE, NoListError, read_items

MOST = 1_000_000
FIELDS = ("tasks", "data", "items")
SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(), max_size=8)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def _containers(inner: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonValue]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)


def items_of(text: str) -> list[object]:
    return list(read_items(text.encode(), FIELDS, MOST))


def read(body: bytes) -> None:
    with contextlib.suppress(NoListError):
        list(read_items(body, FIELDS, MOST))


@given(items=st.lists(VALUES, max_size=6), indent=st.none() | st.integers(0, 2))
def test_sound_list_gives_the_items_that_any_parser_gives(items: list[object], indent: int | None) -> None:
    assert items_of(json.dumps(items, indent=indent)) == items


@given(items=st.lists(st.recursive(SCALARS, _containers), max_size=6), ascii_only=st.booleans())
def test_strings_that_count_as_long_are_read_as_any_parser_reads_them(
    items: list[object], ascii_only: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supervisor.task_api.lenient_json.LONG_STRING_BYTES", 3)
        patch.setattr("supervisor.task_api.lenient_json.USUAL_BYTES", 0)
        body = json.dumps(items, ensure_ascii=ascii_only).encode(errors="replace")
        assert list(read_items(body, FIELDS, MOST)) == json.loads(body)


@pytest.mark.parametrize("bad", ["\\u12", "\\x", "\n", "\\ud83d\\u00"])
@pytest.mark.parametrize("around", [0, 1023, 100_000])
def test_long_string_that_is_not_sound_spoils_its_item_alone(bad: str, around: int) -> None:
    text = "y" * around + bad + "z" * 100_000
    assert items_of(f'[1, {{"a": "{text}"}}, 2]') == [1, UNREADABLE, 2]


def test_lone_surrogate_in_a_long_string_is_kept() -> None:
    assert items_of('["' + "a" * 100_000 + '\\ud83d", 2]') == ["a" * 100_000 + "\ud83d", 2]


def test_item_that_is_large_beside_its_long_strings_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.task_api.lenient_json.MAX_BYTES_BESIDE", 150_000)
    page = f"[1, [{'0,' * 70_000}0], [{'0,' * 80_000}0], 2]"
    assert items_of(page) == [1, [0] * 70_001, UNREADABLE, 2]


@pytest.mark.parametrize(
    "page", ["[" * 30, f"[[[[[[[{'[],' * 30}1", '{"a":' * 30, f"[{'[[[[[[[]]]]]]],' * 30}1]"]
)
def test_page_of_endless_brackets_is_given_up(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.task_api.lenient_json.MAX_MARKS", 25)
    with pytest.raises(NoListError, match="more than 25 brackets"):
        items_of(page)


@given(items=st.lists(VALUES, max_size=6), field=st.sampled_from(FIELDS))
def test_sound_list_in_an_object_gives_its_items(items: list[object], field: str) -> None:
    text = json.dumps({"total": 3, "next": None, field: items, "more": "]"})
    assert items_of(text) == items


@given(st.binary() | st.text('[]{},:"\\ atskdi1').map(str.encode))
def test_no_bytes_raise(body: bytes) -> None:
    read(body)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[]", []),
        ("[ \n ]", []),
        (" [1, 2]", [1, 2]),
        ('["a,b]", "c\\"d]"]', ["a,b]", 'c"d]']),
        ('[{"a": [1, {"b": 2}]}, 3]', [{"a": [1, {"b": 2}]}, 3]),
        ("[1, oops, 2]", [1, UNREADABLE, 2]),
        ('[{"id": 1, x}, 2]', [UNREADABLE, 2]),
        ('{"error": null, "data": [1]}', [1]),
    ],
)
def test_bad_item_spoils_itself_alone(text: str, items: list[object]) -> None:
    assert items_of(text) == items


@pytest.mark.parametrize(
    ("raw", "read_as"),
    [("a", "a"), ('\\"', '"'), ("\\\\", "\\"), ("\\u0041", "A"), ("\U0001f600", "\U0001f600")],
)
def test_long_string_is_read_whole_whatever_is_in_it(raw: str, read_as: str) -> None:
    items: list[object] = [{"a": read_as * 1_000_000}, 2]
    assert items_of(f'[{{"a": "{raw * 1_000_000}"}}, 2]') == items


@pytest.mark.parametrize("within", ["1" + " " * 3_000_000, " " * 3_000_000 + "1"], ids=["behind", "before"])
def test_long_blank_is_passed_over(within: str) -> None:
    assert items_of(f"[{within}, 2]") == [1, 2]


@pytest.mark.parametrize(
    "before", ['"meta": {"total": 1}, ', '"links": [], ', '"note": "[{", ', '"meta": {"tasks": [7]}, ']
)
def test_list_is_found_behind_other_fields(before: str) -> None:
    assert items_of(f'{{{before}"items": [1, oops, 2]}}') == [1, UNREADABLE, 2]


def test_no_more_items_are_read_than_asked_for() -> None:
    assert list(read_items(b"[1, 2, 3, oops", FIELDS, max_items=2)) == [1, 2]


@pytest.mark.parametrize(
    "text", ["", "null", "{", '{"tasks": 5}', '{"rows": [1]}', "<html>[1]</html>", "[1, 2"]
)
def test_text_without_a_whole_list_gives_none(text: str) -> None:
    with pytest.raises(NoListError):
        items_of(text)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "body",
    [
        b'["' + b'\\"' * 100_000,
        b'["' + b"\\" * 200_001,
        b'["' + b"a" * 200_000,
        b"[" * 200_000,
        b'[{"a":' * 50_000,
        b"[" + b'"",' * 100_000,
        b'{"tasks"' + b" " * 200_000,
        b"{" + b'"tasks" ' * 50_000,
        b" " * 200_000,
    ],
    ids=["quotes", "backslashes", "string", "lists", "objects", "empty strings", "spaces", "names", "blank"],
)
def test_no_body_takes_more_than_linear_time(body: bytes) -> None:
    read(body)


def test_long_text_beside_a_bad_value_takes_little_more_memory_than_itself() -> None:
    body = b'[{"bad": NaN, "text": "' + b"a" * 2_000_000 + b'"}]'
    tracemalloc.start()
    read(body)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20 * len(body)
