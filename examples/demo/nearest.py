"""Which passages lie nearest to a question: the proof that the stored vectors carry meaning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from examples.demo.corpus import Passage
from examples.demo.fault import DemoFault

QUERIES = (
    "How do I keep a secret message safe from spies?",
    "Which animals live without sunlight at the bottom of the ocean?",
    "How does a needle in the arm protect a child from disease?",
)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A passage and the cosine between its vector and the question's, -1 to 1."""

    passage: Passage
    cosine: float


def embed_queries(queries: Sequence[str]) -> Vectors:
    """One row a query, from the model that the service used."""
    # Here, so that only the demo's last step loads the model.
    from shared.provider_accounts import LOCAL_MODEL  # noqa: PLC0415
    from workers.providers.local import LocalEmbeddings  # noqa: PLC0415

    embeddings = LocalEmbeddings().embed(queries, model=LOCAL_MODEL, dimensions=None)
    return np.asarray(embeddings.vectors.good, dtype=np.float32)


class StoredVectors:
    """Passages with their vectors, all of one length. Raises DemoFault where lengths differ."""

    def __init__(self, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]) -> None:
        lengths = {len(vector) for vector in vectors}
        if len(lengths) != 1:
            raise DemoFault(f"the stored vectors differ in length: {sorted(lengths)}")
        self._passages = passages
        self._directions = _directions(np.asarray(vectors, dtype=np.float32))

    def nearest(self, query: Vectors, count: int = 3) -> list[Neighbour]:
        """The `count` nearest passages, best first; of copies of one wording the nearest only."""
        if query.shape != self._directions.shape[1:]:
            raise DemoFault(
                f"the question's vector has {query.shape[-1]} numbers and the stored ones have "
                f"{self._directions.shape[1]}: they are not from one model"
            )
        cosines = self._directions @ _directions(query[np.newaxis])[0]
        found: dict[str, Neighbour] = {}
        for row in np.argsort(-cosines, kind="stable"):
            passage = self._passages[row]
            found.setdefault(passage.wording, Neighbour(passage, float(cosines[row])))
            if len(found) == count:
                break
        return list(found.values())


def _directions(vectors: Vectors) -> Vectors:
    """Each row scaled to length 1; a row of zeros, which has no direction, stays."""
    lengths: Vectors = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    lengths[lengths == 0] = 1
    return np.divide(vectors, lengths, dtype=np.float32)
