"""The nearest passages are found by direction, whatever the lengths of the vectors."""

import numpy as np
import pytest

from examples.demo.corpus import Passage
from examples.demo.fault import DemoFault
from examples.demo.nearest import StoredVectors, Vectors

NORTH, EAST, SOUTH, NORTH_EAST = (
    Passage("compass", name) for name in ("north", "east", "south", "north-east")
)


def query(*numbers: float) -> Vectors:
    return np.asarray(numbers, dtype=np.float32)


def test_passages_come_in_the_order_of_their_cosine() -> None:
    stored = StoredVectors([SOUTH, EAST, NORTH, NORTH_EAST], [[0, -1], [1, 0], [0, 1], [1, 1]])
    found = stored.nearest(query(0, 2))
    assert [neighbour.passage for neighbour in found] == [NORTH, NORTH_EAST, EAST]
    assert [neighbour.cosine for neighbour in found] == pytest.approx([1, 0.5**0.5, 0], abs=1e-6)


def test_a_long_vector_is_no_nearer_than_a_short_one_of_its_direction() -> None:
    stored = StoredVectors([NORTH_EAST, NORTH], [[900, 900], [0, 0.01]])
    assert stored.nearest(query(0, 1), count=1)[0].passage is NORTH


def test_of_copies_of_one_wording_only_the_nearest_is_shown() -> None:
    copy = Passage(NORTH.subject, NORTH.wording, copy=2)
    stored = StoredVectors([copy, NORTH, EAST], [[0.1, 1], [0, 1], [1, 0]])
    assert [neighbour.passage for neighbour in stored.nearest(query(0, 1))] == [NORTH, EAST]


def test_a_vector_of_zeros_has_cosine_zero() -> None:
    stored = StoredVectors([NORTH, EAST], [[0, 0], [0, -1]])
    assert [neighbour.cosine for neighbour in stored.nearest(query(0, 1))] == [0, -1]


def test_stored_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(DemoFault, match=r"differ in length: \[2, 3\]"):
        StoredVectors([NORTH, EAST], [[0, 1], [0, 1, 0]])


def test_a_question_from_another_model_is_refused() -> None:
    with pytest.raises(DemoFault, match="3 numbers and the stored ones have 2"):
        StoredVectors([NORTH], [[0, 1]]).nearest(query(0, 1, 0))
