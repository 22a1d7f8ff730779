"""Makes an encoder bundle from a pretrained network, or one of `lookalike train`, and a sample of the corpus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.errors import LookalikeError
from model.export import BuildSummary, build_bundle
from model.networks import backbone
from model.retrieval import Retrieval
from pipelines import run_folder
from pipelines.records import Record
from pipelines.sources import Shard, SourceOptions, find_shards, read_shard

PROJECTED_DIM = 256
SAMPLE_IMAGES = 2000
"""For the projection: several times its default dimension."""
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
    weights: str | None = None,
    layer: str | None = None,
    preprocessing: str | None = None,
    pooling: str = "avg",
    dim: int | None = None,
    unit_length: bool = True,
    variant: str = "int8",
    name: str | None = None,
    images: int = SAMPLE_IMAGES,
    retrieval: Retrieval | None = None,
) -> BuildSummary:
    """Builds an encoder bundle; see `model.export.build_bundle` for the arguments not named here.

    Args:
        network: the folder of a finished training run, or what `model.networks.backbone` takes.
        weights, layer, preprocessing: as `model.networks.backbone`; not for a run, which has its own.
        sample: shards of the corpus, as in `corpus.shards`.
        options: how they are read.
        pooling: of a network by name; a run has its own.
        dim: dimensions to project to; 0 keeps the network's own. None is `PROJECTED_DIM` for a network by name, and
            the network's own for a run, whose embedding layer was trained to its width.
        images: how many images of the sample are used.

    Raises:
        LookalikeError: for an unknown network, a run that is not finished, an unreadable or too small sample, a
            folder in use.
    """
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
    picked = sample_images(sample, options, images)
    return build_bundle(
        out,
        built,
        picked,
        name=name or Path(network).resolve().stem,
        pooling=pooling,
        dim=(None if own else PROJECTED_DIM) if dim is None else dim or None,
        unit_length=unit_length,
        variant=variant,
        retrieval=retrieval,
    )
