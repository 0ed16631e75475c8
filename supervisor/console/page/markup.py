"""Builds HTML in which everything that is not markup is escaped."""

import html

from shared.plain_text import visible

_VOID = frozenset({"meta", "link", "br"})


class Html(str):
    """Finished markup. Any other string is text and is escaped wherever it is put."""

    __slots__ = ()


def el(tag: str, *children: str | None, **attributes: str | float | bool | None) -> Html:
    """An element. None is left out, True is an attribute without a value.

    In attribute names a last underscore is dropped and others become hyphens: `class_`, `data_label`.
    """
    names = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{names}>")
    return Html(
        f"<{tag}{names}>{''.join(_escaped(child) for child in children if child is not None)}</{tag}>"
    )


def join(*children: str | None) -> Html:
    """Children without an element around them."""
    return Html("".join(_escaped(child) for child in children if child is not None))


def _escaped(child: str) -> str:
    return child if isinstance(child, Html) else html.escape(visible(child))


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(visible(str(value)))}"'
