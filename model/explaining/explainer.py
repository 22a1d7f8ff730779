"""The explanation of the score of two pictures, by the float network of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..encoder.bundle import Encoder
from ..encoder.projection import unit_length
from ..encoder.runtimes import FloatNetwork
from ..errors import ImageError, LookalikeError
from ..images import MAX_PIXELS
from ..images.boxes import PartOfImage
from .occlusion import ScoreOf, occlusion_map
from .pooled_network import cut
from .similarity import similarity_map, vector_parts


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why two pictures have the score that they have.

    Attributes:
        query_pixels, match_pixels: as the network saw them, uint8 (height, width, 3).
        score: the cosine of their vectors by the float network.
        query_map, match_map: shares of places in it, float64 (rows, columns). Where there are `pairs`, the sum of each
            map is the score; else a share is what the score loses where the place is covered.
        pairs: shares of pairs of places, float64 (rows, columns, rows, columns), the query's first; None where the
            score is no sum over places.
    """

    query_pixels: np.ndarray
    match_pixels: np.ndarray
    score: float
    query_map: np.ndarray
    match_map: np.ndarray
    pairs: np.ndarray | None

    @property
    def adds_up(self) -> bool:
        """Whether the shares of a map add up to the score."""
        return self.pairs is not None


class Explainer:
    """Explains scores of pairs of pictures; holds an opened encoder.

    Explained is the picture as the preprocessing makes it, without the variants of test-time augmentation.

    Attributes:
        encoder: the float variant; LookalikeError is raised for another.
    """

    def __init__(self, encoder: Encoder) -> None:
        if not isinstance(encoder.network, FloatNetwork):
            raise LookalikeError(f"Expected the float variant of an encoder. Received: {encoder.variant}")
        self.encoder = encoder
        self._network = cut(encoder.network.function)

    @classmethod
    def load(cls, folder: str | Path, *, max_pixels: int = MAX_PIXELS) -> Explainer:
        """Opens an encoder bundle. Raises as `Encoder.load`, and if it has no float variant."""
        return cls(Encoder.load(folder, variant="float", max_pixels=max_pixels))

    def explain(self, query: bytes | PartOfImage, match: bytes | PartOfImage) -> Explanation:
        """Explains the score of two encoded images.

        Raises:
            ImageError: if one cannot be decoded, or its vector has no direction.
        """
        return self.explain_pixels(self.pixels(query), self.pixels(match))

    def explain_pixels(self, of_query: np.ndarray, of_match: np.ndarray) -> Explanation:
        """The same for what `pixels` gave. Raises ImageError if a vector has no direction."""
        vectors = self.vectors(np.stack([of_query, of_match])).astype(np.float64)
        if not (np.isfinite(vectors).all() and vectors.any(axis=1).all()):
            raise ImageError(
                "the network gave a vector of zeros, or none that is finite, for one of the two pictures"
            )
        score = float(vectors[0] @ vectors[1])
        query_parts, match_parts = self.parts(of_query), self.parts(of_match)
        if query_parts is not None and match_parts is not None:
            pairs = similarity_map(query_parts, match_parts)
            return Explanation(of_query, of_match, score, pairs.sum((2, 3)), pairs.sum((0, 1)), pairs)
        maps = (
            occlusion_map(of_query, self.score_with(vectors[1])),
            occlusion_map(of_match, self.score_with(vectors[0])),
        )
        return Explanation(of_query, of_match, score, *maps, None)

    def pixels(self, image: bytes | PartOfImage) -> np.ndarray:
        """What the network sees of an encoded image, uint8 (height, width, 3). Raises ImageError."""
        # A picture that anybody names, and that no job has met: it ends no more than the process that decodes it.
        return self.encoder.preprocess.pixels(image, max_pixels=self.encoder.max_pixels, suspect=True)[0]

    def vectors(self, pixels: np.ndarray) -> np.ndarray:
        """Vectors of length 1 of pictures (n, height, width, 3), float32 (n, dim)."""
        features = self.encoder.features_of_variant(pixels)
        projection = self.encoder.projection
        return unit_length(features if projection is None else projection.apply(features))

    def parts(self, pixels: np.ndarray) -> np.ndarray | None:
        """What each place adds to the vector before it gets length 1: float64 (rows, columns, dim).

        None where the vector is no sum over places.
        """
        if self._network is None:
            return None
        parts = self._network.parts(self.encoder.preprocess.normalize(pixels))
        return (
            None if parts is None else vector_parts(parts, self.encoder.projection, self.encoder.unit_length)
        )

    def score_with(self, vector: np.ndarray) -> ScoreOf:
        """From pictures to their cosines with one vector of length 1."""
        return lambda pixels: self.vectors(pixels) @ vector
