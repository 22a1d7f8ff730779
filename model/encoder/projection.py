"""Projection of features to fewer dimensions, fitted on a sample of the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import imports
from ..errors import LookalikeError
from .npz import read_npz

_ROWS = 8
_LEAST = 1e-9
"""A share that counts as nothing: of the squares of features, of their variance, of what is shrunk."""


class Projection:
    """An affine map to fewer dimensions. What `fit` of its kinds learns is all there is to it.

    Attributes:
        dim: dimensions to project to.
        mean_: array of shape (features,), float32; what is subtracted first.
        components_: array of shape (dim, features), float32.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.mean_ = np.empty(0, np.float32)
        self.components_ = np.empty((dim, 0), np.float32)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Projects features of shape (n, features) to (n, dim), float32; no row depends on the others.

        Ours: importing scikit-learn takes 0.9 s, and its product gives a row other last bits in other company.
        """
        # BLAS sums in another order for another number of rows: all products have the same.
        blocks = -(-len(features) // _ROWS)
        rows = np.zeros((blocks * _ROWS, len(self.mean_)), np.float32)
        rows[: len(features)] = features.astype(np.float32) - self.mean_
        projected = rows.reshape(blocks, _ROWS, len(self.mean_)) @ self.components_.T
        return projected.reshape(len(rows), self.dim)[: len(features)]

    def save(self, path: str | Path) -> None:
        """Writes the arrays to one .npz file."""
        np.savez(path, mean=self.mean_, components=self.components_)

    @classmethod
    def load(cls, path: str | Path, content: bytes | None = None) -> Projection:
        """Reads what `save` wrote; never unpickles.

        Args:
            path: of the file.
            content: its bytes, where they were read.

        Raises:
            LookalikeError: if it is another file.
        """
        data = Path(path).read_bytes() if content is None else content
        arrays = read_npz(data, path, "a projection")
        if missing := {"mean", "components"} - arrays.keys():
            raise LookalikeError(
                f"Expected a projection in {path}. Received: no {', '.join(sorted(missing))}"
            )
        mean, components = arrays["mean"], arrays["components"]
        if (
            (mean.dtype, components.dtype) != (np.float32, np.float32)
            or components.ndim != 2
            or mean.shape != components.shape[1:]
            or not (np.isfinite(mean).all() and np.isfinite(components).all())
        ):
            raise LookalikeError(
                f"Expected finite float32 arrays of shape (features,) and (dim, features) in {path}. "
                f"Received: {mean.dtype} {mean.shape} and {components.dtype} {components.shape}"
            )
        projection = Projection(len(components))
        projection.mean_, projection.components_ = mean, np.ascontiguousarray(components)
        return projection

    def _set(self, mean: np.ndarray, components: np.ndarray) -> None:
        # An eigenvector's sign is arbitrary: fixing it makes two fits of one sample the same.
        largest = np.abs(components).argmax(axis=1)
        components = components * np.sign(components[np.arange(len(components)), largest])[:, None]
        self.mean_, self.components_ = mean.astype(np.float32), components.astype(np.float32)


class PCA(Projection):
    """Principal component analysis without whitening: the directions of largest variance, which keep their lengths.

    On the clothing photographs it raised the mean average precision of EfficientNet-Lite0 from 0.484 to 0.518
    while it shrank 1,280 dimensions to 256.
    """

    def fit(self, features: np.ndarray) -> PCA:
        """Learns the projection from features of shape (samples, features), by scikit-learn's `PCA`.

        Raises:
            LookalikeError: if there are fewer samples, or fewer features, than `dim`, or features are not finite or
                all the same.
        """
        mean, _, _, directions = _principal(features, self.dim)
        self._set(mean, directions)
        return self


class WhitenedPCA(Projection):
    """Principal components, each divided by its standard deviation after the covariance S was shrunk to
    (1 - r) S + r m I, with m the mean of its eigenvalues.

    Plain whitening (r = 0) makes the noise of the last components as loud as the first ones. Jegou and Chum, "Negative
    Evidences and Co-occurences in Image Retrieval: the Benefit of PCA and Whitening", ECCV 2012.

    Args:
        dim: dimensions to project to.
        shrinkage: r, from 0 to 1, where 1 is `PCA`; None takes that of Ledoit and Wolf (2004).
    """

    def __init__(self, dim: int, shrinkage: float | None = None) -> None:
        super().__init__(dim)
        self.shrinkage = shrinkage

    def fit(self, features: np.ndarray) -> WhitenedPCA:
        """As `PCA.fit`."""
        mean, centred, variances, directions = _principal(features, self.dim)
        share = _share(self.shrinkage, centred)
        shrunk = (1 - share) * variances + share * (centred**2).mean()
        # Directions in which nothing varies cannot be brought to a variance of 1.
        scale = 1 / np.sqrt(np.maximum(shrunk, np.finfo(np.float32).eps * variances[0]))
        self._set(mean, directions * scale[:, None])
        return self


class LDA(Projection):
    """Linear discriminant analysis: the directions in which classes lie furthest apart, measured by how far the
    images of one class do.

    Fisher's criterion for several classes: C. R. Rao, "The Utilization of Multiple Measurements in Problems of
    Biological Classification", J. R. Stat. Soc. B 10 (1948). The covariance within classes is shrunk as in
    `WhitenedPCA` before it is inverted, and has length 1 in every direction of the result.

    Args:
        dim: dimensions to project to, fewer than there are classes and no more than there are features.
        shrinkage: from 0 to 1; None takes that of Ledoit and Wolf.
    """

    def __init__(self, dim: int, shrinkage: float | None = None) -> None:
        super().__init__(dim)
        self.shrinkage = shrinkage

    def fit(self, features: np.ndarray, labels: Sequence[str]) -> LDA:
        """Learns the projection.

        Args:
            features: array of shape (samples, features).
            labels: of the samples.

        Raises:
            LookalikeError: if there are not more than `dim` classes, no class has two samples that differ, there
                are fewer features than `dim`, or some are not finite.
        """
        names, codes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        if not self.dim < len(names) < len(features):
            raise LookalikeError(
                f"A discriminant projection to {self.dim} dimensions needs more classes than that, and more images "
                f"than classes. Received: {len(features)} images of {len(names)} classes"
            )
        if self.dim > features.shape[1]:
            raise LookalikeError(
                f"A projection to {self.dim} dimensions needs as many features. Received: {features.shape[1]}"
            )
        x, mean = _varied(features)
        middles = np.stack([x[codes == code].mean(axis=0) for code in range(len(names))])
        inside = x - middles[codes]
        if (inside**2).sum() <= _LEAST * ((x - mean) ** 2).sum():
            raise LookalikeError(
                "A discriminant projection needs different images of one class. Received: all of a class are alike"
            )
        within = inside.T @ inside / len(x)
        # Ours: scikit-learn's shrinks the spread between classes too (other directions) and took 2.4 s, this 0.6.
        share = max(_share(self.shrinkage, inside), _LEAST)  # features that never vary have no inverse
        within = (1 - share) * within + share * np.trace(within) / len(within) * np.eye(len(within))
        spread = (middles - mean) * np.sqrt(counts / len(x))[:, None]
        # With within = L L^T, the directions are eigenvectors of L^-1 between L^-T; between has few rows.
        lower = np.linalg.cholesky(within)
        _, _, directions = np.linalg.svd(np.linalg.solve(lower, spread.T).T, full_matrices=False)
        self._set(mean, np.linalg.solve(lower.T, directions[: self.dim].T).T)
        return self


PROJECTIONS = {"pca": PCA, "whitened": WhitenedPCA, "lda": LDA}
"""By the name that `encoder build --projection` and `encoder.json` know them by."""


def check_enough(dim: int, images: int, features: int) -> None:
    """Raises LookalikeError if so many images, or features, have fewer principal components than `dim`."""
    if dim > min(images, features):
        raise LookalikeError(
            f"A projection to {dim} dimensions needs at least {dim} readable images in the sample "
            f"and features in the network. Received: {images} images, {features} features"
        )


def _share(asked: float | None, centred: np.ndarray) -> float:
    """How far to shrink a covariance towards a multiple of the identity: 0 not at all, 1 all the way.

    None is answered by scikit-learn with b^2 / d^2 of O. Ledoit and M. Wolf, "A Well-Conditioned Estimator for
    Large-Dimensional Covariance Matrices", Journal of Multivariate Analysis 88 (2004), lemmas 3.2 to 3.4.

    Args:
        asked: the answer, if it is known.
        centred: float64 (samples, features) with mean 0.
    """
    if asked is not None:
        return asked
    # In one block: in its own of 1,000 features, 5,000 samples of 1,280 took 1.7 s instead of 0.7.
    shrinkage = imports.sklearn().covariance.ledoit_wolf_shrinkage
    return float(shrinkage(centred, assume_centered=True, block_size=centred.shape[1] + 1))


def _principal(features: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean (features,), the features without it, the first `dim` variances in falling order, and as many unit
    directions (dim, features), all float64; variances are divided by the samples, not by one less.
    """
    check_enough(dim, *features.shape)
    x, mean = _varied(features)
    x -= mean
    # "auto" took a randomised solver, whose components were off by up to 0.3, and "full" 3.1 s instead of 0.4.
    fitted = imports.sklearn().decomposition.PCA(dim, svd_solver="covariance_eigh").fit(x)
    return mean, x, fitted.explained_variance_ * ((len(x) - 1) / len(x)), fitted.components_


def _varied(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features in double precision, and their mean.

    Raises:
        LookalikeError: if there is nothing to project.
    """
    x = features.astype(np.float64)
    if not np.isfinite(x).all():
        raise LookalikeError("Expected finite features of the sample. Received: some that are not")
    mean = x.mean(axis=0)
    if ((x - mean) ** 2).sum() <= _LEAST**2 * (x**2).sum():
        raise LookalikeError(
            f"Expected a sample whose images differ. Received: the same features of all {len(x)} images"
        )
    return x, mean


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scales each row of (n, dim) to Euclidean length 1; a row of zeros stays zero."""
    # The squares of small float32 numbers are zero in float32.
    norms = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
