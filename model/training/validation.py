"""How well embeddings retrieve within a set: each image asks for the others of its class."""

from __future__ import annotations

import numpy as np

from ..errors import LookalikeError
from ..measuring.retrieval_metrics import average_precision, hit_rate_at_k, map_at_r

_CELLS = 1 << 24


def leave_one_out(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Retrieval of each image among all the others; relevant are those of its class.

    An image that is the only one of its class asks nothing, but is found by others as irrelevant. Equal cosines
    keep the order of the set.

    Args:
        embeddings: (n, dim), of any length but 0.
        labels: int, (n,).

    Returns:
        The means over the queries: `map_at_r`, `hit_rate_at_1`, `map`.

    Raises:
        LookalikeError: if no class has two images, or an embedding is not finite.

    >>> leave_one_out(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 0, 1]))
    {'map_at_r': 1.0, 'hit_rate_at_1': 1.0, 'map': 1.0}
    """
    queries = queries_of(labels)
    counts = np.bincount(labels)[labels]
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise LookalikeError(
            "Expected finite embeddings of the validation images. Received: some that are not"
        )
    unit = embeddings / np.maximum(lengths, 1e-12)
    values: dict[str, list[np.ndarray]] = {"map_at_r": [], "hit_rate_at_1": [], "map": []}
    for chosen in np.array_split(queries, -(-len(queries) * len(labels) // _CELLS)):
        cosines = unit[chosen] @ unit.T
        cosines[np.arange(len(chosen)), chosen] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :-1]
        grades, totals = labels[order] == labels[chosen, None], counts[chosen] - 1
        values["map_at_r"].append(map_at_r(grades, totals))
        values["hit_rate_at_1"].append(hit_rate_at_k(grades, 1))
        values["map"].append(average_precision(grades, totals))
    return {name: float(np.concatenate(parts).mean()) for name, parts in values.items()}


def queries_of(labels: np.ndarray) -> np.ndarray:
    """The images that are not the only ones of their class, as positions in `labels`.

    Raises:
        LookalikeError: if there is none.
    """
    queries = np.flatnonzero(np.bincount(labels)[labels] > 1) if len(labels) else labels
    if not len(queries):
        raise LookalikeError(
            "Expected a class with two images or more to validate on. "
            f"Received: {len(labels)} validation images, each alone in its class"
        )
    return queries
