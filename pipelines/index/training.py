"""Trains an index by ScaNN: the leaves of the tree are ours, the codes of the vectors in them, if any, ScaNN's."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..store.index_manifest import IndexParameters, Metric
from . import native
from .clusters import cluster_centres, nearest_centres

_CODEBOOK_SAMPLE = 10_000
"""Vectors that the codes are learnt from: 16 of them for each 2 dimensions. With 3,000 to 24,500 of 24,544 photographs'
recall was the same within 0.003 at every depth, and so with 5,000 to 50,000 of 200,000 clustered vectors; 50,000 took a
quarter of the time of building."""
_FEWEST = 16
"""Vectors that codes can be learnt from, and so leaves that can be built as if they were vectors."""
_REORDERED = 100
_DATASET, _LEAF_OF = "dataset.npy", "datapoint_to_token.npy"
_GIVEN = {
    "PARTITIONER": "serialized_partitioner.pb",
    "TOKENIZATION_NPY": _LEAF_OF,
    "DATASET_NPY": _DATASET,
}
"""ScaNN's words for leaves, the leaf that each vector is in, and vectors, and its names of their files."""


@dataclass(frozen=True)
class Leaves:
    """Where the leaves of a tree stand.

    Attributes:
        centres: float32 (leaves, dim).
        of: the leaf of each vector, int32 (n,).
    """

    centres: np.ndarray
    of: np.ndarray


def find_leaves(
    vectors: np.ndarray, metric: Metric, parameters: IndexParameters, threads: int
) -> Leaves | None:
    """The leaves of a tree of vectors float32 (n, dim); None where there are none, or so few that ScaNN finds them.

    Directions are clustered for cosine: a tight cluster's longer mean would draw all queries.
    """
    spherical, count = metric == "cosine", parameters.leaves
    if count < _FEWEST:
        return None
    centres = cluster_centres(
        vectors, count, parameters.training_sample, parameters.seed, threads, spherical=spherical
    )
    return Leaves(centres, nearest_centres(vectors, centres, threads, spherical=spherical))


def trained(
    vectors: np.ndarray, metric: Metric, parameters: IndexParameters, threads: int, leaves: Leaves | None
) -> Any:
    """ScaNN's searcher of vectors float32 (n, dim), as `scores.checked` returns them; no brute force.

    Args:
        leaves: by `find_leaves`.
    """
    spherical, count = metric == "cosine", parameters.leaves
    if not count:
        return _scored(native.builder(vectors, metric, 1, threads), vectors, metric, parameters).build()
    if leaves is None:
        small = native.builder(vectors, metric, 1, threads).tree(
            count, 1, training_sample_size=len(vectors), spherical=spherical, random_init=False
        )
        return _scored(small, vectors, metric, parameters).build()
    # ScaNN takes no leaves, but reads them. Built of their centres as if these were the vectors, each is a leaf; of
    # these files the vectors and the leaf of each are then replaced, and it learns the codes that are not there. A
    # tree without codes compares all queries of a batch that look into a leaf with its vectors in one product. SOAR
    # was no clear gain: fewer leaves to search, but twice the codes in each.
    tree = native.builder(leaves.centres, metric, 1, threads).tree(
        count, max(1, count // 10), training_sample_size=count, spherical=spherical, random_init=False
    )
    with tempfile.TemporaryDirectory() as folder:
        native.write(_scored(tree, vectors, metric, parameters).build(), folder)
        number = np.load(os.path.join(folder, _LEAF_OF), allow_pickle=False)
        np.save(os.path.join(folder, _LEAF_OF), number[leaves.of], allow_pickle=False)
        np.save(os.path.join(folder, _DATASET), vectors, allow_pickle=False)
        return native.made_from(folder, _GIVEN)


def _scored(builder: Any, vectors: np.ndarray, metric: Metric, parameters: IndexParameters) -> Any:
    if parameters.algorithm == "flat_tree":
        return builder.score_brute_force()
    return _with_codes(builder, vectors, metric, parameters)


def _with_codes(builder: Any, vectors: np.ndarray, metric: Metric, parameters: IndexParameters) -> Any:
    return builder.score_ah(
        min(2, vectors.shape[1]),
        anisotropic_quantization_threshold=0.2 if metric == "cosine" else float("nan"),
        training_sample_size=min(len(vectors), _CODEBOOK_SAMPLE),
    ).reorder(_REORDERED, quantize=native.reordering(parameters.bytes))
