"""Makes an encoder bundle from a pretrained network, or one of `lookalike train`, and a sample of the corpus."""

from __future__ import annotations

import importlib.util
import itertools
import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lookalike.model.encoder.export import BuildSummary, BundleRecipe, Example, build_bundle
from lookalike.model.encoder.openvino import AMX, best_instructions
from lookalike.model.errors import LookalikeError
from lookalike.model.networks import Backbone, backbone
from lookalike.model.waiting import waiting

from ..filesystem import files
from ..sources import Shard, SourceOptions, find_shards, read_records
from ..sources.records import DIRECTORY, Record, Reject, class_of
from ..train import run_folder

logger = logging.getLogger(__name__)

PROJECTED_DIM = 256
SAMPLE_IMAGES = 2000
"""For the projection: several times its default dimension."""
SAMPLE_SHARDS = 64
_MOST_HELD = 512 << 20
"""Bytes of records that the readers of all shards hold."""
MOST_SKIPPED = 16
"""Records that are read for one that is used, at the most."""


@dataclass(frozen=True)
class Sample:
    """Images of a corpus, to fit and calibrate on.

    Attributes:
        paths: shards, as in `corpus.shards`.
        options: how they are read.
        images: how many are used.
        label: metadata field of the classes; `directory` is what stands before an id's last slash.
    """

    paths: str | Sequence[str]
    options: SourceOptions = field(default_factory=SourceOptions)
    images: int = SAMPLE_IMAGES
    label: str = DIRECTORY


@dataclass(frozen=True)
class NetworkChoice:
    """Which network a bundle is made from.

    Attributes:
        name: the folder of a finished training run, or what `model.networks.backbone` takes.
        weights, layer, preprocessing: as `model.networks.backbone`; not for a run, which has its own.
    """

    name: str = "efficientnet_lite0"
    weights: str | None = None
    layer: str | None = None
    preprocessing: str | None = None

    @property
    def is_run(self) -> bool:
        """Whether it is a training run."""
        return Path(self.name).is_dir()

    @property
    def title(self) -> str:
        """What people call it if they do not say."""
        return Path(self.name).resolve().stem

    def default_dim(self, projection: str | None) -> int:
        """Dimensions to project to unless the user says; 0 keeps the network's own.

        A run's embedding layer was trained to its width, which is kept unless a projection is asked for.
        """
        return 0 if self.is_run and projection is None else PROJECTED_DIM

    def opened(self, pooling: str) -> Backbone:
        """The network. Raises LookalikeError if it is unknown, not trained, or has an option that it does not use."""
        if self.is_run:
            if pooling != "avg" or self.weights or self.layer or self.preprocessing:
                raise LookalikeError(
                    "Expected neither pooling, weights, layer nor preprocessing for a training run, which has its own. "
                    f"Received: {pooling}, {self.weights}, {self.layer}, {self.preprocessing}"
                )
            run, path = run_folder.trained_network(Path(self.name))
            return backbone(str(path), layer=run.layer, preprocessing=run.preprocessing)
        found = backbone(
            self.name, pooling, weights=self.weights, layer=self.layer, preprocessing=self.preprocessing
        )
        if not found.pretrained:
            raise LookalikeError(
                f"Expected a network with trained weights. Received: {self.name}, weights={self.weights}"
            )
        return found


def sample_images(sample: Sample) -> Iterator[Example]:
    """Encoded images from all over a corpus with their classes, the same ones every time.

    Takes records of up to `SAMPLE_SHARDS` shards that lie evenly between the first and the last, so that a
    corpus of any size costs the same. What cannot be read is logged.

    Raises:
        LookalikeError: if no shard matches, or none of its records can be read.
    """
    options, count = sample.options, sample.images
    if sample.label not in (DIRECTORY, *options.metadata):
        options = replace(options, metadata={**options.metadata, sample.label: "string"})
    shards = find_shards(sample.paths, options)
    step = max(1, len(shards) / SAMPLE_SHARDS)
    chosen = [shards[int(i * step)] for i in range(min(len(shards), SAMPLE_SHARDS))]
    # Shards are often sorted by class: take every so manyth record instead of the first ones. Their number is
    # guessed from their size; a guess that is too low would leave the last classes out.
    first = [len(record.image) for record in itertools.islice(_records(chosen[0], options, 1, []), 16)]
    images = 1.25 * sum(shard.size for shard in chosen) * len(first) / max(1, sum(first))
    stride = min(MOST_SKIPPED, max(1, images / count))
    rejects: list[Reject] = []
    records = _in_turns([_records(shard, options, stride, rejects) for shard in chosen])
    return _examples(itertools.islice(records, count), rejects, sample.label)


def _examples(records: Iterator[Record], rejects: list[Reject], label: str) -> Iterator[Example]:
    """What the records hold; at their end says what was rejected."""
    record = None
    for record in records:
        yield Example(record.image, class_of(record, label))
    if rejects:
        first = f"{rejects[0].item_id}: {rejects[0].error}"
        sentence = f"The sample has {len(rejects)} records that cannot be read. The first: {first}"
        if record is None:
            raise LookalikeError(sentence)
        logger.warning(sentence)


def _records(
    shard: Shard, options: SourceOptions, stride: float, rejects: list[Reject]
) -> Generator[Record, None, None]:
    """Every `stride`th record, from the first: 1.5 takes two of three."""
    for number, record in enumerate(read_records(shard, options, rejects.append)):
        if number // stride > (number - 1) // stride:
            yield record


def _in_turns(readers: Sequence[Generator[Record, None, None]]) -> Iterator[Record]:
    """One from each until all are empty, so that short shards do not shorten the sample.

    A reader holds its last record. Where all together are too many bytes, those with the largest give no more.
    """
    held = dict.fromkeys(range(len(readers)), 0)
    while held:
        for number in list(held):
            if number not in held:
                continue
            record = next(readers[number], None)
            if record is None:
                del held[number]
                continue
            held[number] = len(record.image)
            yield record
            while len(held) > 1 and sum(held.values()) > _MOST_HELD:
                largest = max(held, key=held.__getitem__)
                readers[largest].close()
                del held[largest]


def default_variant() -> str:
    """What a new bundle uses unless the user says: the fastest on a machine like this one.

    With AMX OpenVINO's int8 made 756 images/s where TFLite's made 413.
    """
    installed = all(importlib.util.find_spec(package) for package in ("openvino", "nncf"))
    return "openvino" if installed and best_instructions() == AMX else "int8"


def build_encoder(
    out: str | Path, network: NetworkChoice, sample: Sample, recipe: BundleRecipe
) -> BuildSummary:
    """Builds an encoder bundle; see `model.encoder.export.build_bundle`.

    Args:
        out: the folder to write; must not exist, or be empty.
        network: what it is made from.
        sample: images of the corpus; its label is for the projection `lda` alone.
        recipe: what it is to be.

    Raises:
        LookalikeError: for an unknown network, a run that is not finished, an unreadable or too small sample, a
            folder in use, a label that the projection does not use.
    """
    if sample.label != DIRECTORY and recipe.projection != "lda":
        raise LookalikeError(
            f"Expected a label only for lda. Received: {sample.label}, projection {recipe.projection}"
        )
    files.delete_dead(str(Path(out).resolve()))
    with waiting(f"opening the network {network.name}"):
        opened = network.opened(recipe.pooling)
    return build_bundle(out, opened, sample_images(sample), recipe)
