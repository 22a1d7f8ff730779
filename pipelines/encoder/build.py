"""Makes an encoder bundle from a pretrained network, or one of `lookalike train`, and a sample of the corpus."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lookalike.model.encoder.export import BuildSummary, Example, build_bundle
from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.errors import LookalikeError
from lookalike.model.images.test_time_augmentation import AS_IS, TestTimeAugmentation
from lookalike.model.networks import backbone

from ..sources import Shard, SourceOptions, find_shards, read_records
from ..sources.records import DIRECTORY, Record, Reject, class_of
from ..train import run_folder

logger = logging.getLogger(__name__)

PROJECTED_DIM = 256
SAMPLE_IMAGES = 2000
"""For the projection: several times its default dimension."""
SAMPLE_SHARDS = 64
MOST_SKIPPED = 16
"""Records that are read for one that is used, at the most."""


def sample_images(
    paths: str | Sequence[str], options: SourceOptions, count: int = SAMPLE_IMAGES, label: str = DIRECTORY
) -> Iterator[Example]:
    """Encoded images from all over a corpus with their classes by the field `label`, the same ones every time.

    Takes records of up to `SAMPLE_SHARDS` shards that lie evenly between the first and the last, so that a
    corpus of any size costs the same. What cannot be read is logged.

    Raises:
        LookalikeError: if no shard matches, or none of its records can be read.
    """
    shards = find_shards(paths, options)
    step = max(1, len(shards) / SAMPLE_SHARDS)
    chosen = [shards[int(i * step)] for i in range(min(len(shards), SAMPLE_SHARDS))]
    # Shards are often sorted by class: take every so manyth record instead of the first ones. Their number is
    # guessed from their size; a guess that is too low would leave the last classes out.
    first = [len(record.image) for record in itertools.islice(_records(chosen[0], options, 1, []), 16)]
    images = 1.25 * sum(shard.size for shard in chosen) * len(first) / max(1, sum(first))
    stride = min(MOST_SKIPPED, max(1, images / count))
    rejects: list[Reject] = []
    records = _in_turns([_records(shard, options, stride, rejects) for shard in chosen])
    return _examples(itertools.islice(records, count), rejects, label)


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


def _records(shard: Shard, options: SourceOptions, stride: float, rejects: list[Reject]) -> Iterator[Record]:
    """Every `stride`th record, from the first: 1.5 takes two of three."""
    for number, record in enumerate(read_records(shard, options, rejects.append)):
        if number // stride > (number - 1) // stride:
            yield record


def _in_turns(readers: list[Iterator[Record]]) -> Iterator[Record]:
    """One from each until all are empty, so that short shards do not shorten the sample."""
    while readers:
        for reader in list(readers):
            record = next(reader, None)
            if record is None:
                readers.remove(reader)
            else:
                yield record


def build_encoder(
    out: str | Path,
    *,
    network: str,
    sample: str | Sequence[str],
    options: SourceOptions,
    weights: str | None = None,
    layer: str | None = None,
    preprocessing: str | None = None,
    pooling: str = "avg",
    dim: int | None = None,
    projection: str | None = None,
    shrinkage: float | None = None,
    label: str = DIRECTORY,
    test_time_augmentation: TestTimeAugmentation = AS_IS,
    unit_length: bool = True,
    variant: str = "int8",
    name: str | None = None,
    images: int = SAMPLE_IMAGES,
    post_processing: PostProcessing | None = None,
) -> BuildSummary:
    """Builds an encoder bundle; see `model.encoder.export.build_bundle` for the arguments not named here.

    Args:
        network: the folder of a finished training run, or what `model.networks.backbone` takes.
        weights, layer, preprocessing: as `model.networks.backbone`; not for a run, which has its own.
        sample: shards of the corpus, as in `corpus.shards`.
        options: how they are read.
        pooling: of a network by name; a run has its own.
        dim: dimensions to project to; 0 keeps the network's own. None is `PROJECTED_DIM` for a network by name, and
            the network's own for a run, whose embedding layer was trained to its width, unless a projection is asked
            for.
        projection: one of `model.encoder.bundle.projection.PROJECTIONS`; None is PCA.
        shrinkage: of the covariance, for `whitened` and `lda`.
        label: metadata field of the classes for `lda`; `directory` is what stands before an id's last slash.
        images: how many images of the sample are used.

    Raises:
        LookalikeError: for an unknown network, a run that is not finished, an unreadable or too small sample, a
            folder in use, options that this projection does not use.
    """
    if projection and dim == 0:
        raise LookalikeError(f"Expected dimensions to project to. Received: projection {projection}, dim 0")
    if shrinkage is not None and projection not in ("whitened", "lda"):
        raise LookalikeError(
            f"Expected no shrinkage but for whitened and lda. Received: projection {projection}"
        )
    if label != DIRECTORY and projection != "lda":
        raise LookalikeError(f"Expected a label only for lda. Received: {label}, projection {projection}")
    own = Path(network).is_dir()
    if own:
        if pooling != "avg" or weights or layer or preprocessing:
            raise LookalikeError(
                "Expected neither pooling, weights, layer nor preprocessing for a training run, which has its own. "
                f"Received: {pooling}, {weights}, {layer}, {preprocessing}"
            )
        run, path = run_folder.trained_network(Path(network))
        built = backbone(str(path), layer=run.layer, preprocessing=run.preprocessing)
    else:
        built = backbone(network, pooling, weights=weights, layer=layer, preprocessing=preprocessing)
    if not built.pretrained:
        raise LookalikeError(
            f"Expected a network with trained weights. Received: {network}, weights={weights}"
        )
    if label not in (DIRECTORY, *options.metadata):
        options = replace(options, metadata={**options.metadata, label: "string"})
    if dim is None:
        dim = 0 if own and projection is None else PROJECTED_DIM
    picked = sample_images(sample, options, images, label)
    return build_bundle(
        out,
        built,
        picked,
        name=name or Path(network).resolve().stem,
        pooling=pooling,
        dim=dim or None,
        projection=projection or "pca",
        shrinkage=shrinkage,
        test_time_augmentation=test_time_augmentation,
        unit_length=unit_length,
        variant=variant,
        post_processing=post_processing,
    )
