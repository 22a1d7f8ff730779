"""The parts of a vector add up to it, and the shares of pairs of places to the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.encoder.projection import Projection, unit_length
from lookalike.model.explaining.similarity import (
    pooled_parts,
    similarity_map,
    strongest_pairs,
    vector_parts,
)
from lookalike.model.networks.pooling import gem


def feature_map(seed: int, height: int, width: int, channels: int) -> np.ndarray:
    """As behind a ReLU: half of it is 0."""
    drawn = np.random.default_rng(seed).normal(0, 3, (height, width, channels))
    return np.maximum(drawn, 0).astype(np.float32)


def projection(seed: int, features: int, dim: int) -> Projection:
    draws = np.random.default_rng(seed)
    made = Projection(dim)
    made.mean_ = draws.normal(size=features).astype(np.float32)
    made.components_ = draws.normal(size=(dim, features)).astype(np.float32)
    return made


def pooled(x: np.ndarray, pooling: str, power: float) -> np.ndarray:
    if pooling == "gem":
        return gem(x[None], power)[0]
    return x.mean((0, 1)) if pooling == "avg" else x.max((0, 1))


sides = st.integers(1, 5)
seeds = st.integers(0, 2**32)
poolings = st.sampled_from(["avg", "max", "gem"])


@given(seeds, sides, sides, poolings, st.floats(1, 3))
def test_parts_of_every_pooling_add_up_to_the_pooled_vector(seed, height, width, pooling, power):
    x = feature_map(seed, height, width, 6)
    parts = pooled_parts(x, pooling, power)
    assert parts.shape == x.shape
    assert np.allclose(parts.sum((0, 1)), pooled(x, pooling, power), rtol=1e-5, atol=1e-6)


@given(seeds, sides, sides, sides, poolings, st.booleans(), st.booleans())
def test_shares_add_up_to_the_cosine_of_the_vectors(
    seed, height, width, rows, pooling, projected, normalised
):
    maps = feature_map(seed, height, width, 8), feature_map(seed + 1, rows, height, 8)
    affine = projection(seed, 8, 4) if projected else None
    features = np.stack([pooled(x, pooling, 3.0) for x in maps])
    if normalised:
        features = unit_length(features)
    vectors = unit_length(features if affine is None else affine.apply(features))
    parts = [vector_parts(pooled_parts(x, pooling), affine, normalised) for x in maps]
    shares = similarity_map(*parts)
    assert shares.shape == (height, width, rows, height)
    assert abs(shares.sum() - float(vectors[0] @ vectors[1])) < 1e-5


def test_the_maximum_of_a_channel_belongs_to_its_first_place():
    x = np.array([[[1.0, 5.0], [2.0, 5.0]]])
    assert pooled_parts(x, "max").tolist() == [[[0, 5], [2, 0]]]


def test_gem_of_power_one_is_the_average():
    x = feature_map(0, 2, 3, 4) + 1
    assert np.allclose(pooled_parts(x, "gem", 1.0), pooled_parts(x, "avg"))


def test_a_mean_that_is_subtracted_is_spread_evenly():
    affine = Projection(1)
    affine.mean_, affine.components_ = np.array([4.0], np.float32), np.array([[1.0]], np.float32)
    parts = vector_parts(np.array([[[9.0], [1.0]]]), affine, unit_length=False)
    assert parts.tolist() == [[[7.0], [-1.0]]]


def test_a_share_is_large_where_both_places_have_the_same_and_below_zero_where_they_oppose():
    query = np.array([[[3.0, 0.0], [0.0, 4.0]]])
    match = np.array([[[5.0, 0.0]], [[0.0, -12.0]]])
    shares = similarity_map(query, match)[0, :, :, 0]
    assert np.allclose(shares, np.array([[15, 0], [0, -48]]) / (5 * 13))


def test_vectors_without_length_have_no_shares():
    nothing = np.zeros((1, 2, 3))
    assert not similarity_map(nothing, np.ones((1, 1, 3))).any()
    assert not vector_parts(nothing, None, unit_length=True).any()


def test_the_strongest_pairs_come_first_and_lie_apart_in_both_pictures():
    shares = np.zeros((1, 6, 1, 6))
    for (query, match), share in {
        (0, 0): 9,
        (1, 5): 8,  # beside the first in the query
        (4, 1): 7,  # beside it in the match
        (3, 3): 6,
        (5, 5): 5,
        (0, 3): -1,
    }.items():
        shares[0, query, 0, match] = share
    pairs = [(0, 0, 0, 0), (0, 3, 0, 3), (0, 5, 0, 5)]
    assert strongest_pairs(shares, 9) == pairs
    assert strongest_pairs(shares, 2) == pairs[:2]
    assert strongest_pairs(shares, 1, apart=0) == pairs[:1]


@pytest.mark.parametrize("count", [0, 3])
def test_where_nothing_agrees_no_pair_is_strong(count):
    assert strongest_pairs(-np.ones((2, 2, 2, 2)), count) == []
