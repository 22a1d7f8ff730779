"""Makes an encoder bundle from a pretrained network and a sample of the corpus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.export import BuildSummary, build_bundle
from model.networks import backbone
from pipelines.records import Record
from pipelines.sources import Shard, SourceOptions, find_shards, read_shard

SAMPLE_IMAGES = 2000
"""For the projection: several times its default dimension of 256."""
SAMPLE_SHARDS = 64
MOST_SKIPPED = 16
"""Records that are read for one that is used, at the most."""


def sample_images(
    paths: str | Sequence[str], options: SourceOptions, count: int = SAMPLE_IMAGES
) -> Iterator[bytes]:
    """Encoded images from all over a corpus, the same ones every time.

    Takes records of up to `SAMPLE_SHARDS` shards that lie evenly between the first and the last, so that a
    corpus of any size costs the same.

    Raises:
        LookalikeError: if no shard matches.
    """
    shards = find_shards(paths, options)
    step = max(1, len(shards) / SAMPLE_SHARDS)
    chosen = [shards[int(i * step)] for i in range(min(len(shards), SAMPLE_SHARDS))]
    # Shards are often sorted by class: take every so manyth record instead of the first ones.
    first = [len(image) for image in itertools.islice(_images(chosen[0], options, 1), 16)]
    images = sum(shard.size for shard in chosen) * len(first) / max(1, sum(first))
    stride = min(MOST_SKIPPED, max(1, int(images / count)))
    return itertools.islice(_in_turns([_images(shard, options, stride) for shard in chosen]), count)


def _images(shard: Shard, options: SourceOptions, stride: int) -> Iterator[bytes]:
    images = (entry.image for entry in read_shard(shard, options) if isinstance(entry, Record))
    return itertools.islice(images, 0, None, stride)


def _in_turns(readers: list[Iterator[bytes]]) -> Iterator[bytes]:
    """One from each until all are empty, so that short shards do not shorten the sample."""
    while readers:
        for reader in list(readers):
            image = next(reader, None)
            if image is None:
                readers.remove(reader)
            else:
                yield image


def build_encoder(
    out: str | Path,
    *,
    network: str,
    sample: str | Sequence[str],
    options: SourceOptions,
    pooling: str = "avg",
    dim: int | None = 256,
    unit_length: bool = True,
    variant: str = "int8",
    name: str | None = None,
    images: int = SAMPLE_IMAGES,
) -> BuildSummary:
    """Builds an encoder bundle; see `model.export.build_bundle` for the arguments not named here.

    Args:
        network: a name of `model.networks.available()`.
        sample: shards of the corpus, as in `corpus.shards`.
        options: how they are read.
        images: how many images of the sample are used.

    Raises:
        LookalikeError: for an unknown network, an unreadable or too small sample, a folder in use.
    """
    picked = sample_images(sample, options, images)
    return build_bundle(
        out,
        backbone(network, pooling),
        picked,
        name=name or network,
        pooling=pooling,
        dim=dim,
        unit_length=unit_length,
        variant=variant,
    )
