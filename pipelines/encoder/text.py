"""Adds a text encoder to an encoder bundle, so that an index of its images can be asked in words."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lookalike.model.encoder.bundle import BATCH, EncodedBatch, Encoder
from lookalike.model.encoder.manifest import PROJECTION, TEXT, fingerprint, read_listed, read_manifest
from lookalike.model.encoder.projection import Projection
from lookalike.model.errors import LookalikeError
from lookalike.model.text import minilm, tower
from lookalike.model.text.bundle import MANIFEST, TextManifest, vocabulary, write_text
from lookalike.model.text.class_names import ClassNames, directions
from lookalike.model.text.classifier import class_names, known_classifier
from lookalike.model.text.encoder import TextReader, word_piece
from lookalike.model.text.tower import Tower

from ..filesystem import files
from ..sources.records import DIRECTORY
from .build import Sample, sample_images

logger = logging.getLogger(__name__)
IMAGES = 20_000
"""Pictures that a map is learnt from: some hundred seconds of encoding."""


@dataclass(frozen=True)
class TextSummary:
    """What was added.

    Attributes:
        manifest: of the text encoder.
        without_text: pictures of the sample that have none, or one that cannot be read.
        unreadable: pictures of the sample that cannot be encoded.
    """

    manifest: TextManifest
    without_text: int = 0
    unreadable: int = 0


def add_class_names(bundle: Path) -> TextSummary:
    """Texts will go by the names of the classes that the network was trained to tell.

    Raises:
        LookalikeError: if it is no whole bundle, its network has no known classifier, or a package is not installed.
        OSError: if it cannot be written.
    """
    manifest = _unit_manifest(bundle)
    network = minilm.packaged_weights()
    names = class_names()
    weights = known_classifier(bundle)
    projection = None
    if manifest["projection"]:
        projection = Projection.load(bundle / PROJECTION, read_listed(bundle, manifest, PROJECTION))
    read = TextReader(word_piece(vocabulary()), minilm.MiniLM(network)).read(names)
    mapping = ClassNames(names, read.vectors, directions(weights, projection))
    return TextSummary(_write(bundle, network, mapping, {"kind": "class names"}))


def add_texts(bundle: Path, kind: Literal["labels", "captions"], sample: Sample) -> TextSummary:
    """Texts will go through a network that is trained with pictures and texts of the corpus.

    Args:
        bundle: folder of the encoder.
        kind: what the texts are: labels are few, and what is near one is taken for it.
        sample: pictures; its label is the field of the texts.

    Raises:
        LookalikeError: if it is no whole bundle, fewer than two texts can be read, or a package is not installed.
        OSError: if it cannot be written.
    """
    _unit_manifest(bundle)
    network = minilm.packaged_weights()
    encoder = Encoder.load(bundle)
    texts: list[str | None] = []
    batches = []
    unreadable = 0
    for found, of_batch in _encoded(encoder, sample):
        good = [i for i in range(len(of_batch)) if i not in found.errors]
        unreadable += len(found.errors)
        texts += [of_batch[i] for i in good]
        batches.append(found.vectors[good])
    different = sorted({text for text in texts if text})
    read = TextReader(word_piece(vocabulary()), minilm.MiniLM(network)).read(different)
    for place, error in read.errors.items():
        logger.warning("%s of the corpus: %r is left out: %s", sample.label, different[place], error)
    readable = [place for place in range(len(different)) if place not in read.errors]
    known = [different[place] for place in readable]
    if len(known) < 2:
        raise LookalikeError(
            f"Expected at least two different texts in {sample.label} of the corpus. Received: {len(known)}"
        )
    numbers = {text: number for number, text in enumerate(known)}
    kept = [i for i, text in enumerate(texts) if text in numbers]
    of_image = np.array([numbers[str(texts[i])] for i in kept])
    logger.info("learning from %s pictures and %s texts", f"{len(kept):,}", f"{len(known):,}")
    labels = known if kind == "labels" else ()
    mapping = tower.fit(read.vectors[readable], of_image, np.concatenate(batches)[kept], labels)
    says = {"kind": kind, "field": sample.label, "images": len(kept), "texts": len(known)}
    return TextSummary(_write(bundle, network, mapping, says), len(texts) - len(kept), unreadable)


def _unit_manifest(bundle: Path) -> dict[str, Any]:
    manifest = read_manifest(bundle)
    if not manifest["unit_length"]:
        raise LookalikeError(
            "Expected an encoder whose vectors have unit length, as those of texts have. Received: "
            f"{bundle}, built with --no-unit-length"
        )
    return manifest


def _encoded(encoder: Encoder, sample: Sample) -> Iterator[tuple[EncodedBatch, list[str | None]]]:
    """Batches of pictures, encoded, and their texts; of a folder as text its own name."""
    waiting: deque[list[str | None]] = deque()

    def batches() -> Iterator[list[bytes]]:
        examples = sample_images(sample)
        while batch := list(islice(examples, BATCH)):
            texts = [example.label for example in batch]
            if sample.label == DIRECTORY:
                texts = [text and text.rpartition("/")[2] for text in texts]
            waiting.append(texts)
            yield [example.image for example in batch]

    for found in encoder.map(batches()):
        yield found, waiting.popleft()


def _write(
    bundle: Path, network: Mapping[str, np.ndarray], mapping: ClassNames | Tower, says: Mapping[str, Any]
) -> TextManifest:
    manifest = read_manifest(bundle)
    says = {**says, "encoder": fingerprint(manifest), "dim": manifest["dim"]}
    files.delete_dead(str(bundle / TEXT))
    with files.write_folder(str(bundle / TEXT), last=MANIFEST) as folder:
        return write_text(Path(folder), network, mapping, says)
