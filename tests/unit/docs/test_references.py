"""What the documents point at is there: files, headings, tests, packages."""

import re
import tomllib

import pytest

from shared.version import VERSION
from supervisor.composition import OUTBOX_LIMIT
from tests.unit.docs.markdown import ROOT, Document, documents

ROOMS = ("supervisor", "workers", "shared")
A_PATH = re.compile(r"(?:supervisor|workers|shared|examples|tests|docs|deploy|grafana)/[\w./-]*")


def name_of(document: Document) -> str:
    return str(document.path.relative_to(ROOT))


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_no_link_is_dead(document: Document) -> None:
    dead = [link for link in document.links() if not link.startswith("http") and not leads(document, link)]
    assert not dead


def leads(document: Document, link: str) -> bool:
    place, _, anchor = link.partition("#")
    target = (document.path.parent / place).resolve() if place else document.path
    if not target.exists():
        return False
    return not anchor or anchor in Document.read(str(target.relative_to(ROOT))).anchors()


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_files_that_are_named_exist(document: Document) -> None:
    missing = [span for span in document.spans() if A_PATH.fullmatch(span) and not (ROOT / span).exists()]
    made_by_the_reader = {path for path in missing if name_of(document) == "docs/extending.md"}
    assert not set(missing) - made_by_the_reader


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_no_code_is_broken_over_two_lines(document: Document) -> None:
    """It reads badly, and the tests here would misread it."""
    assert not [line for line in document.prose.splitlines() if line.count("`") % 2]


def test_architecture_lists_every_package_and_no_other() -> None:
    packages = {
        f"{path.parent.relative_to(ROOT)}/" for room in ROOMS for path in (ROOT / room).rglob("__init__.py")
    }
    assert sorted(Document.read("docs/architecture.md").names("package")) == sorted(packages)


def test_every_dependency_has_its_reason_and_no_other_is_named() -> None:
    decisions = Document.read("docs/decisions.md")
    for file, head in {
        "requirements.in": "the service needs",
        "requirements-local.in": "the demo and the embedded model need",
        "requirements-ray.in": "`POOL=ray` needs",
        "requirements-dev.in": "the tests need",
    }.items():
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        wanted = {line for line in lines if line and not line.startswith(("#", "-"))}
        # What the service has already is explained there.
        wanted -= set(decisions.names("the service needs")) if file != "requirements.in" else set()
        assert {span for row in decisions.rows(head) for span in row.spans(0)} == wanted


def test_changelog_has_the_version_of_the_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
    assert f"## [{VERSION}]" in Document.read("CHANGELOG.md").text


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/reliability.md"])
def test_bound_of_the_outbox_is_that_of_the_code(name: str) -> None:
    assert f"{OUTBOX_LIMIT:,}" in Document.read(name).text
