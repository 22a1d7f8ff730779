"""Test-time augmentation: variants of one picture whose features are averaged: mirrored, and at several scales."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import LookalikeError
from .boxes import PartOfImage
from .preprocess import Preprocess, parse_spec


@dataclass(frozen=True)
class TestTimeAugmentation:
    """What variants of a picture there are. Each costs the network as much as the first.

    Source, for scales: Gordo et al., "End-to-End Learning of Deep Visual Representations for Image Retrieval", IJCV
    2017, and Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018.

    Attributes:
        flip: every variant also mirrored, left to right.
        scales: how large the picture is made before its middle is cut out, 1 being what the preprocessing spec
            says. A smaller one shows more of the picture, a larger one its middle in more detail.
    """

    __test__ = False  # pytest takes a class of such a name for tests

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    @classmethod
    def from_manifest(cls, section: dict[str, Any] | None) -> TestTimeAugmentation:
        """What `as_manifest` gave: the field `views` of `encoder.json`."""
        return cls(bool(section["flip"]), tuple(section["scales"])) if section else cls()

    def as_manifest(self) -> dict[str, Any] | None:
        """The field `views` of `encoder.json`; None for the picture as it is."""
        return None if self == TestTimeAugmentation() else {"flip": self.flip, "scales": list(self.scales)}

    def preprocessings(self, preprocess: Preprocess) -> list[Preprocess]:
        """The preprocessing of each scale.

        Raises:
            LookalikeError: if scales are not positive numbers, each once, or there is nothing in the spec to scale.
        """
        if not self.scales or not all(0 < scale < 100 for scale in self.scales):
            raise LookalikeError(f"Expected scales above 0. Received: {self.scales}")
        if len(set(self.scales)) < len(self.scales):
            raise LookalikeError(f"Expected each scale once. Received: {self.scales}")
        return [preprocess if scale == 1 else _scaled(preprocess, scale) for scale in self.scales]


AS_IS = TestTimeAugmentation()
"""One variant: the picture as the preprocessing makes it."""


def _scaled(preprocess: Preprocess, scale: float) -> Preprocess:
    """The spec with a larger or smaller picture before the crop; without a crop, with one to the size there is."""
    cropped = re.search(r"\bresize_short\((\d+)\)\|center_crop\((\d+)\)", preprocess.spec)
    whole = re.search(r"\bresize\((\d+),\1\)", preprocess.spec)
    found = cropped or whole
    if found is None:
        raise LookalikeError(
            "Expected a preprocessing with resize_short(n)|center_crop(m) or resize(n,n), of which other scales can "
            f"be cut. Received: {preprocess.spec}"
        )
    side, crop = int(found[1]), int(found[2] if cropped else found[1])
    size = round(side * scale)
    if size < crop:
        raise LookalikeError(
            f"Expected a scale of {crop / side:.3g} or more, where the picture still fills the {crop} pixels. "
            f"Received: {scale:g}"
        )
    resized = f"resize_short({size})" if cropped else f"resize({size},{size})"
    start, end = found.span()
    return parse_spec(f"{preprocess.spec[:start]}{resized}|center_crop({crop}){preprocess.spec[end:]}")


def read_pixels(
    preprocessings: Sequence[Preprocess], image: bytes | PartOfImage, **options: Any
) -> tuple[np.ndarray, int, int]:
    """An image at every scale: uint8 (scales, height, width, 3); then width and height of the original.

    Raises:
        ImageError: as `Preprocess.pixels`, which takes the `options`.
    """
    variants = [preprocess.pixels(image, **options) for preprocess in preprocessings]
    return np.stack([pixels for pixels, _, _ in variants]), *variants[0][1:]
