"""Text encoders for tests: the network's shapes with drawn weights, and one added to a bundle."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from lookalike.model.encoder.manifest import TEXT, fingerprint, read_manifest
from lookalike.model.text.bundle import TextManifest, vocabulary, write_text
from lookalike.model.text.encoder import TextReader, word_piece
from lookalike.model.text.minilm import MiniLM, shapes
from lookalike.model.text.tower import Tower, fit
from tests.conftest import DIM


@functools.cache
def drawn_network() -> dict[str, np.ndarray]:
    """Arrays of the right shapes with drawn values."""
    random = np.random.default_rng(0)
    found = {}
    for name, (shape, kind) in shapes().items():
        if kind is np.int8:
            found[name] = random.integers(-127, 128, shape, np.int8)
        elif name.endswith("scale"):
            # What a text's own words bring decides its vector.
            found[name] = np.full(shape, 0.01 if name.startswith("words") else 0.0001, np.float32)
        else:
            found[name] = np.full(shape, name.endswith("norm.weight"), np.float32)
    return found


@functools.cache
def reader() -> TextReader:
    return TextReader(word_piece(vocabulary()), MiniLM(drawn_network(), threads=1))


@functools.cache
def _learnt(labels: tuple[str, ...]) -> Tower:
    images = np.random.default_rng(1).normal(size=(len(labels), DIM)).astype(np.float32)
    return fit(reader().read(labels).vectors, np.arange(len(labels)), images, labels)


def add_labels(bundle: str | Path, labels: tuple[str, ...] = ("red", "blue")) -> TextManifest:
    """Adds a text encoder that takes the labels to drawn directions."""
    mapping = _learnt(labels)
    says = {"encoder": fingerprint(read_manifest(bundle)), "dim": DIM, "kind": "labels", "field": "colour"}
    folder = Path(bundle, TEXT)
    folder.mkdir(exist_ok=True)
    return write_text(folder, drawn_network(), mapping, says)
