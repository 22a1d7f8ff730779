import subprocess
import sys

import numpy as np
import pytest
from scipy import linalg

from lookalike.model.encoder.projection import LDA, PCA, PROJECTIONS, Projection, WhitenedPCA, unit_length
from lookalike.model.errors import LookalikeError

RNG = np.random.default_rng(0)
# Two directions of large variance in five dimensions, away from the origin.
SAMPLE = (RNG.normal(size=(200, 2)) * [5, 2]) @ np.linalg.qr(RNG.normal(size=(5, 2)))[0].T + 7


def test_as_many_dimensions_as_the_data_have_keep_all_distances():
    features = SAMPLE.astype(np.float32)
    projected = PCA(2).fit(features).apply(features)
    assert (projected.shape, projected.dtype) == ((200, 2), np.float32)
    before = np.linalg.norm(features[:, None] - features, axis=-1)
    after = np.linalg.norm(projected[:, None] - projected, axis=-1)
    np.testing.assert_allclose(after, before, atol=1e-3)
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-4)


def test_components_are_those_of_the_singular_value_decomposition():
    centred = SAMPLE - SAMPLE.mean(axis=0)
    expected = np.linalg.svd(centred, full_matrices=False)[2][:2]
    found = PCA(2).fit(SAMPLE).components_
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-6)


def test_a_row_is_projected_the_same_to_the_bit_whatever_stands_beside_it():
    features = RNG.normal(size=(50, 300)).astype(np.float32)
    projection = PCA(40).fit(features)
    together = projection.apply(features)
    for rows in (slice(0, 1), slice(3, 8), slice(7, 40), slice(49, 50)):
        np.testing.assert_array_equal(projection.apply(features[rows]), together[rows])
    assert projection.apply(features[:0]).shape == (0, 40)


def test_two_fits_are_equal_and_survive_a_file(tmp_path):
    first, second = PCA(3).fit(SAMPLE), PCA(3).fit(SAMPLE)
    np.testing.assert_array_equal(first.components_, second.components_)
    first.save(tmp_path / "p.npz")
    loaded = Projection.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(loaded.apply(SAMPLE), first.apply(SAMPLE))


@pytest.mark.parametrize("shape", [(3, 5), (9, 3)])
def test_too_few_samples_or_features_are_refused(shape):
    with pytest.raises(LookalikeError, match=f"Received: {shape[0]} images, {shape[1]} features"):
        PCA(4).fit(np.ones(shape))


@pytest.mark.parametrize("fit", [PCA(2).fit, WhitenedPCA(2).fit, lambda x: LDA(2).fit(x, list("aaabbbccc"))])
def test_features_that_are_not_finite_or_all_alike_are_refused(fit):
    features = RNG.normal(size=(9, 4))
    with pytest.raises(LookalikeError, match="Received: the same features of all 9 images"):
        fit(np.repeat(features[:1], 9, axis=0))
    features[3, 2] = np.nan
    with pytest.raises(LookalikeError, match="Expected finite features"):
        fit(features)


def test_classes_whose_images_are_all_alike_have_no_discriminants():
    features = np.repeat(RNG.normal(size=(3, 5)), 4, axis=0)
    with pytest.raises(LookalikeError, match="all of a class are alike"):
        LDA(2).fit(features, np.repeat(["a", "b", "c"], 4))


def test_unit_length_scales_rows_and_leaves_zeros():
    scaled = unit_length(np.array([[3.0, 4.0], [0, 0], [1e-30, 0], [1e19, 0]], np.float32))
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0], [1, 0], [1, 0]], rtol=1e-6)
    assert scaled.dtype == np.float32


CLASSES = np.repeat(["a", "b", "c"], [80, 70, 50])
BY_CLASS = (
    RNG.normal(size=(200, 6)) @ RNG.normal(size=(6, 6))
    + RNG.normal(size=(3, 6))[np.repeat([0, 1, 2], [80, 70, 50])]
)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_whitening_brings_each_component_to_variance_1_but_for_the_share_that_is_shrunk(share):
    found = WhitenedPCA(4, share).fit(BY_CLASS).apply(BY_CLASS)
    values = np.linalg.eigvalsh(np.cov(BY_CLASS.T, bias=True))[::-1]
    expected = values / ((1 - share) * values + share * values.mean())
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.diag(expected[:4]), atol=1e-4)


def test_without_whitening_it_is_the_same_directions_as_pca():
    plain, shrunk = PCA(4).fit(BY_CLASS), WhitenedPCA(4, 1.0).fit(BY_CLASS)
    ratio = shrunk.components_ / plain.components_
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)


def test_directions_without_variance_stay_finite():
    flat = np.c_[BY_CLASS, np.zeros((200, 3))]
    assert np.isfinite(WhitenedPCA(9, 0.0).fit(flat).apply(flat)).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_discriminant_directions_solve_the_generalised_eigenvalue_problem(share):
    means = np.stack([BY_CLASS[name == CLASSES].mean(axis=0) for name in CLASSES])
    within, between = np.cov((BY_CLASS - means).T, bias=True), np.cov(means.T, bias=True)
    within = (1 - share) * within + share * np.trace(within) / 6 * np.eye(6)
    expected = linalg.eigh(between, within)[1][:, ::-1][:, :2].T
    found = LDA(2, share).fit(BY_CLASS, CLASSES).components_
    signs = np.sign((found * expected).sum(axis=1))[:, None]
    np.testing.assert_allclose(found, expected * signs, rtol=1e-4, atol=1e-4)


def ledoit_wolf(centred: np.ndarray) -> float:
    """Ledoit and Wolf, 2004, lemmas 3.2 to 3.4, sample by sample: b^2 / d^2."""
    samples, features = centred.shape
    covariance = centred.T @ centred / samples
    target = np.trace(covariance) / features * np.eye(features)
    distance = ((covariance - target) ** 2).sum()
    error = sum(((np.outer(x, x) - covariance) ** 2).sum() for x in centred) / samples**2
    return min(1.0, error / distance)


@pytest.mark.parametrize("sample", [BY_CLASS, RNG.normal(size=(10, 40))])
def test_the_share_that_is_shrunk_is_that_of_ledoit_and_wolf(sample):
    share = ledoit_wolf(sample - sample.mean(axis=0))
    expected, found = WhitenedPCA(4, share).fit(sample), WhitenedPCA(4).fit(sample)
    np.testing.assert_allclose(found.components_, expected.components_, rtol=1e-6)


def test_the_share_within_classes_is_that_of_ledoit_and_wolf():
    means = np.stack([BY_CLASS[name == CLASSES].mean(axis=0) for name in CLASSES])
    expected = LDA(2, ledoit_wolf(BY_CLASS - means)).fit(BY_CLASS, CLASSES)
    np.testing.assert_allclose(LDA(2).fit(BY_CLASS, CLASSES).components_, expected.components_, rtol=1e-6)


def test_the_sign_of_a_component_makes_its_largest_number_positive():
    for fitted in (PCA(4).fit(BY_CLASS), LDA(2).fit(BY_CLASS, CLASSES)):
        found = fitted.components_
        assert (found[np.arange(len(found)), np.abs(found).argmax(axis=1)] > 0).all()


def test_to_apply_a_projection_imports_no_large_library(tmp_path):
    PCA(2).fit(SAMPLE).save(tmp_path / "p.npz")
    code = (
        "import sys, numpy as np; from lookalike.model.encoder.projection import Projection; "
        f"Projection.load({str(tmp_path / 'p.npz')!r}).apply(np.ones((3, 5))); "
        "print(sorted({'sklearn', 'scipy', 'tensorflow'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_classes_that_only_differ_where_features_vary_least_are_told_apart():
    features = RNG.normal(size=(200, 3)) * [100, 10, 0.1]
    features[100:, 2] += 1
    labels = ["left"] * 100 + ["right"] * 100
    found = LDA(1, 0.0).fit(features, labels).apply(features)[:, 0]
    gap = abs(found[:100].mean() - found[100:].mean())
    assert gap > 5 * max(found[:100].std(), found[100:].std())


@pytest.mark.parametrize("labels", [["a", "b"] * 5, ["a"] * 10, [str(i) for i in range(10)]])
def test_too_few_classes_or_images_of_them_are_refused(labels):
    with pytest.raises(LookalikeError, match=f"10 images of {len(set(labels))} classes"):
        LDA(2).fit(BY_CLASS[:10], labels)


def test_discriminants_in_more_dimensions_than_features_are_refused():
    features = np.random.default_rng(0).normal(size=(80, 3))
    with pytest.raises(LookalikeError, match=r"5 dimensions needs as many features\. Received: 3"):
        LDA(5).fit(features, [str(i % 10) for i in range(80)])


def test_every_kind_survives_a_file(tmp_path):
    for name, kind in PROJECTIONS.items():
        fitted = kind(2).fit(BY_CLASS, *([CLASSES] if kind is LDA else []))
        fitted.save(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(
            Projection.load(tmp_path / f"{name}.npz").apply(BY_CLASS), fitted.apply(BY_CLASS)
        )
