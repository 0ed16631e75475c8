"""The demo's texts: short passages on twenty subjects, one file a subject."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

CORPUS_FOLDER = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to embed. Copies of one wording differ by their number, so that no two texts are equal."""

    subject: str
    wording: str
    copy: int = 1

    @property
    def text(self) -> str:
        return self.wording if self.copy == 1 else f"No. {self.copy}. {self.wording}"


@cache
def load_corpus(folder: Path = CORPUS_FOLDER) -> tuple[Passage, ...]:
    """Every passage, the subjects taken in turn, so that any beginning of it has all of them."""
    by_subject = [_read_subject(file) for file in sorted(folder.glob("*.txt"))]
    longest = max(map(len, by_subject), default=0)
    return tuple(
        passages[place] for place in range(longest) for passages in by_subject if place < len(passages)
    )


def all_passages() -> Iterator[Passage]:
    """The corpus, then numbered copies of it without end."""
    copy = 1
    while True:
        for passage in load_corpus():
            yield Passage(passage.subject, passage.wording, copy)
        copy += 1


def first_passages(count: int) -> list[Passage]:
    return list(islice(all_passages(), count))


def _read_subject(file: Path) -> list[Passage]:
    """Passages stand apart by a blank line; inside one, line ends are spaces."""
    subject = file.stem.replace("_", " ")
    blocks = file.read_text(encoding="utf-8").split("\n\n")
    return [Passage(subject, " ".join(block.split())) for block in blocks if block.strip()]
