"""Vectors as a provider computed them: checked once, then encoded to JSON once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.providers.openai.bad_answer import bad_answer

Vector: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector a text, in the order of the texts.

    Made by `check` alone, so that the type says the check was done.
    """

    rows: Sequence[Vector]

    @classmethod
    def check(cls, rows: Sequence[Vector], *, texts: int, dimensions: int | None) -> "Vectors":
        """Accept `rows` as the vectors of so many `texts`.

        All must be finite, not empty, and `dimensions` long; without `dimensions`, as long as the first.
        Raises RetryableError(BAD_RESPONSE).
        """
        if len(rows) != texts:
            raise bad_answer(f"{len(rows)} vectors for {texts} texts")
        expected = dimensions
        for row in rows:
            if row.size == 0:
                raise bad_answer("a vector is empty")
            if expected is None:
                expected = row.size
            if row.shape != (expected,):
                raise bad_answer(f"a vector has {row.size} numbers where {expected} were expected")
            if not np.isfinite(row).all():
                raise bad_answer("a vector holds NaN or infinity")
        return cls(rows)

    def to_json(self) -> list[bytes]:
        """Each vector as a JSON list.

        A float32 is written with the fewest digits that give the same float32 back: half the bytes of
        its value as a double, which every PATCH and the journal would carry.
        """
        return [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in self.rows]
