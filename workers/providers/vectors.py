"""Vectors that were checked once and are encoded to JSON once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from shared.errors import Blame, NonRetryableError
from shared.plain_text import count
from workers.providers.base import MAX_DIMENSIONS, BadVector, bad_answer

Vector: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Row: TypeAlias = Vector | BadVector


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector or a complaint for each text, in the order of the texts. At least one is a vector.

    Only `check` makes them, so the type says that the check was done.
    """

    rows: Sequence[Row]

    @classmethod
    def check(cls, rows: Sequence[Row], *, texts: int, dimensions: int | None) -> "Vectors":
        """Accept `rows` for so many `texts`; a row that cannot be used becomes a BadVector.

        A vector must be finite, not empty, and `dimensions` long; without `dimensions`, as long as most.
        Raises RetryableError(BAD_RESPONSE) where none can be used, and NonRetryableError where all have
        another length than asked for: a server that ignores `dimensions` will do so again.
        """
        if len(rows) != texts:
            raise bad_answer(f"{count(len(rows), 'vector')} for {count(texts, 'text')}")
        finite = [_finite(row) for row in rows]
        expected = _expected_length(finite, dimensions)
        checked = [_of_length(row, expected) for row in finite]
        complaints = [row.complaint for row in checked if isinstance(row, BadVector)]
        if len(complaints) == texts:
            raise bad_answer(complaints[0])
        return cls(checked)

    @property
    def good(self) -> list[Vector]:
        """The rows that can be used."""
        return [row for row in self.rows if not isinstance(row, BadVector)]

    def to_json(self) -> list[bytes | BadVector]:
        """Each vector as a JSON list.

        A float32 is written with the fewest digits that give the same float32 back: half the bytes of
        its value as a double, which every PATCH and the journal would carry.
        """
        return [
            row if isinstance(row, BadVector) else orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
            for row in self.rows
        ]

    def joined(self, weights: Sequence[Sequence[int]], dimensions: int | None) -> "Vectors":
        """A vector for each text, from the vectors of its pieces; `weights` has one number a piece.

        It is the mean of them by weight, made length 1. A text is as good as its worst piece. Source: OpenAI
        Cookbook, "Embedding texts that are longer than the model's maximum context length".
        """
        rows = iter(self.rows)
        means = [_mean([next(rows) for _ in group], group) for group in weights]
        return Vectors.check(means, texts=len(weights), dimensions=dimensions)


def _finite(row: Row) -> Row:
    if isinstance(row, BadVector):
        return row
    if row.size == 0:
        return BadVector("a vector is empty")
    if row.size > MAX_DIMENSIONS:
        return BadVector(f"a vector has {row.size:,} numbers, and {MAX_DIMENSIONS:,} are the most")
    if row.ndim != 1:
        return BadVector("a vector is no plain list of numbers")
    if not np.isfinite(row).all():
        return BadVector("a vector holds NaN or infinity")
    return row


def _expected_length(rows: Sequence[Row], dimensions: int | None) -> int:
    """0 where no row has a length."""
    lengths = Counter(row.size for row in rows if not isinstance(row, BadVector)).most_common()
    if not lengths:
        return 0
    if dimensions is not None:
        if len(lengths) == 1 and lengths[0][0] != dimensions:
            raise NonRetryableError(
                f'input: "dimensions": asked for {dimensions}, the server sends {lengths[0][0]}',
                blame=Blame.WHOLE_UNIT,
            )
        return dimensions
    if len(lengths) > 1 and lengths[0][1] == lengths[1][1]:
        raise bad_answer(f"vectors of {lengths[0][0]} and of {lengths[1][0]} numbers in one answer")
    return lengths[0][0]


def _of_length(row: Row, expected: int) -> Row:
    if isinstance(row, BadVector) or row.size == expected:
        return row
    return BadVector(f"a vector has {row.size} numbers where {expected} were expected")


def _mean(rows: Sequence[Row], weights: Sequence[int]) -> Row:
    if len(rows) == 1:
        return rows[0]
    vectors: list[Vector] = []
    for row in rows:
        if isinstance(row, BadVector):
            return row
        vectors.append(row)
    mean = np.average(np.stack(vectors), axis=0, weights=weights)
    length = float(np.linalg.norm(mean))
    joined: Vector = (mean / length if length else mean).astype(np.float32)
    return joined
