"""Post-processing, done around the search: database augmentation, query expansion, k-reciprocal re-ranking.

Nothing is learned here: the settings belong to an encoder because their best values depend on its vectors. All of
it is for unit vectors and their cosine. Sums and similarities are in double precision, and distances are rounded, so
that copies of one picture are tied wherever they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError, model_validator

from ..errors import LookalikeError
from ..settings import Section
from .projection import unit_length

KEY = "retrieval"
"""Of `encoder.json`; null, or not there, where nothing is done."""
_GRID = 1 << 29
"""Distances are compared to within 1 / _GRID: far above the error of a sum in double precision, below float32's."""

Count = Annotated[int, Field(ge=1, le=1000)]


class _Step(Section):
    def __str__(self) -> str:
        return ",".join(f"{value:g}" for _, value in self)


class _Neighbours(_Step):
    k: Count = Field(description="neighbours that are added")
    alpha: float = Field(3.0, ge=0, le=100, description="a neighbour of similarity s weighs s to this power")

    def apply(self, vectors: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        """See `weighted_mean`."""
        return weighted_mean(vectors, neighbours, self.alpha)


class QueryExpansion(_Neighbours):
    """A query becomes the weighted mean of itself and its `k` nearest items, and is asked again.

    Source: alpha-QE, Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation",
    TPAMI 2018. With alpha = 0 it is the average query expansion of Chum et al., ICCV 2007.
    """


class DatabaseAugmentation(_Neighbours):
    """Each item's vector becomes the weighted mean of itself and its `k` nearest items.

    Source: Turcot and Lowe, "Better Matching with Fewer Features", ICCV workshops 2009; Arandjelovic and Zisserman,
    "Three Things Everyone Should Know to Improve Object Retrieval", CVPR 2012. Gordo et al., IJCV 2017, weigh
    neighbours by rank; the weight here is that of alpha-QE.
    """


class Reranking(_Step):
    """The first `short_list` items of a query are put in the order of their k-reciprocal distance.

    Source: Zhong et al., "Re-ranking Person Re-identification with k-Reciprocal Encoding", CVPR 2017, within the
    query and its short list instead of within the whole corpus. The defaults are those of the paper.
    """

    short_list: Annotated[int, Field(ge=2, le=1000)] = Field(description="items that are put in a new order")
    k1: Count = Field(20, description="neighbours among which reciprocal ones are looked for")
    k2: Count = Field(
        6, description="neighbours, itself among them, over which a vector of neighbours is averaged"
    )
    mix: float = Field(0.3, ge=0, le=1, description="share of the plain distance, lambda in the paper")

    @model_validator(mode="after")
    def _check(self) -> Reranking:
        if self.k2 > self.k1:
            raise ValueError(f"k2 is expected to be at most k1, {self.k1}, not {self.k2}")
        return self

    def apply(self, queries: np.ndarray, listed: np.ndarray) -> np.ndarray:
        """The new order of each query's list.

        Args:
            queries: float32 (q, dim), unit length.
            listed: float32 (q, n, dim), unit length: the items of each query, nearest first, equal ones by id.

        Returns:
            int64 (q, n): place in the list of the item that comes first, second, and so on. Items at the same
            distance stay as they were.
        """
        if listed.shape[1] < 2:
            return np.zeros(listed.shape[:2], np.int64)
        distances = k_reciprocal_distances(queries, listed, self.k1, self.k2, self.mix)
        return np.argsort(np.rint(distances * _GRID), axis=1, kind="stable")


class PostProcessing(_Step):
    """The steps around the search that belong to an encoder; each is off where it is None.

    Attributes:
        database_augmentation, query_expansion, reranking: their settings.
    """

    database_augmentation: DatabaseAugmentation | None = None
    query_expansion: QueryExpansion | None = None
    reranking: Reranking | None = None

    @property
    def any(self) -> bool:
        """Whether a step is on."""
        return self != PostProcessing()

    def __str__(self) -> str:
        steps = ((name.replace("_", " "), step) for name, step in self)
        return "; ".join(f"{name} {step}" for name, step in steps if step) or "none"


def read_post_processing(manifest: Mapping[str, Any]) -> PostProcessing:
    """The settings in a bundle's manifest (`encoder.read_manifest`); of one without, all steps are off.

    Raises:
        LookalikeError: if they are not those of this version.
    """
    try:
        return PostProcessing.model_validate(manifest.get(KEY) or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([KEY, *map(str, first["loc"])])
        raise LookalikeError(
            f"Expected other settings in encoder.json: {where}: {first['msg']}. Received: {first['input']!r}"
        ) from None


def post_processing_json(settings: PostProcessing | None) -> dict[str, Any] | None:
    """What `read_post_processing` reads, for the manifest; None where all steps are off."""
    return (settings.model_dump(exclude_none=True) or None) if settings else None


def weighted_mean(vectors: np.ndarray, neighbours: np.ndarray, alpha: float) -> np.ndarray:
    """x + sum over its neighbours y of max(xy, 0)^alpha y, scaled to unit length.

    A neighbour of no positive similarity has no weight, whatever alpha, so that the sum is never zero; nor has a
    row of zeros, which stands for none.

    Args:
        vectors: float32 (n, dim), unit length.
        neighbours: float32 (n, k, dim), unit length, in an order that does not depend on where they lie.
        alpha: 0 for equal weights.

    Returns:
        float32 (n, dim).
    """
    own = vectors.astype(np.float64)
    total = own.copy()
    for place in range(neighbours.shape[1]):
        # One after the other: the sum of a row is the same in any company.
        near = neighbours[:, place].astype(np.float64)
        similarity = (own * near).sum(axis=1)
        weight = np.where(similarity > 0, np.maximum(similarity, 0) ** alpha, 0)
        total += weight[:, None] * near
    return unit_length(total)


def k_reciprocal_distances(
    queries: np.ndarray, listed: np.ndarray, k1: int, k2: int, mix: float
) -> np.ndarray:
    """(1 - mix) Jaccard distance of k-reciprocal neighbours + mix plain distance, of each query and its items.

    Within the set S of a query and its items, with N(i, k) item i and its k nearest others:

        d(i, j) = (1 - cosine of i and j) / the greatest such of i
        R(i, k) = those j of N(i, k) with i in N(j, k)
        R*(i) = R(i, k1) and, of its j, all R(j, k1 / 2) of which at least 2/3 lie in R(i, k1)
        V(i, j) = exp(-d(i, j)) for j in R*(i), else 0, divided by the sum over j
        W(i) = mean of V(j) over N(i, k2 - 1)
        Jaccard distance of i and j = 1 - sum of min(W(i), W(j)) / sum of max(W(i), W(j))

    Source: Zhong et al., CVPR 2017, section 3; each is its own nearest and V is normalised, as in the
    authors' program.

    Args:
        queries: float32 (q, dim), unit length.
        listed: float32 (q, n, dim), unit length, n at least 1, nearest first. Of items at one distance from another
            the one that is first here counts as nearer.
        k1, k2, mix: as in `Reranking`; k1 may be greater than n.

    Returns:
        float64 (q, n), 0 to 1.
    """
    members = np.concatenate([queries[:, None], listed], axis=1).astype(np.float64)
    far = np.maximum(np.rint((1 - members @ members.transpose(0, 2, 1)) * _GRID), 0)
    itself = np.arange(far.shape[1])
    far[:, itself, itself] = -1
    place = np.argsort(np.argsort(far, axis=2, kind="stable"), axis=2)
    far[:, itself, itself] = 0
    plain = far / np.maximum(far.max(axis=2, keepdims=True), 1)

    mutual = _reciprocal(place, k1)
    half = _reciprocal(place, round(k1 / 2))
    shared = mutual @ half.transpose(0, 2, 1)
    near_enough = mutual * (3 * shared >= 2 * half.sum(axis=2)[:, None])
    members_of = np.maximum(mutual, near_enough @ half > 0)

    soft = members_of * np.exp(-plain)
    soft /= soft.sum(axis=2, keepdims=True)
    nearest = place < k2
    averaged = nearest.astype(np.float64) @ soft / nearest.sum(axis=2, keepdims=True)
    query, items = averaged[:, :1], averaged[:, 1:]
    jaccard = 1 - np.minimum(query, items).sum(axis=2) / np.maximum(query, items).sum(axis=2)
    return (1 - mix) * jaccard + mix * plain[:, 0, 1:]


def _reciprocal(place: np.ndarray, k: int) -> np.ndarray:
    """float32 (q, n, n): 1 where each of two is the other itself or among its k nearest; exact in products."""
    near = place <= k
    return (near & near.transpose(0, 2, 1)).astype(np.float32)
