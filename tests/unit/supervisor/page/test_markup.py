"""Nothing but markup of our own is markup."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from supervisor.console.page.markup import Html, el, join


class Found(HTMLParser):
    """The tags, attributes and text of a document."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_any_text_and_any_attribute_value_is_escaped(text: str) -> None:
    found = Found(el("p", text, title=text))
    assert found.tags == ["p"]
    assert list(found.attributes) == ["title"]


def test_markup_put_into_markup_stays_markup() -> None:
    assert el("p", "1 < 2 ", el("b", "&")) == "<p>1 &lt; 2 <b>&amp;</b></p>"


def test_attribute_names_are_written_with_hyphens_and_without_a_last_underscore() -> None:
    assert (
        el("td", data_label="x", class_="y", hidden=True, id=None)
        == '<td data-label="x" class="y" hidden></td>'
    )


def test_none_is_left_out() -> None:
    assert join("a", None, Html("<br>")) == "a<br>"
    assert el("meta", name="n") == '<meta name="n">'
