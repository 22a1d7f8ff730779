"""How fast images are embedded and how large they are: of the notes in the store, or else of a few images."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import BATCH, Encoder

from ..config.job import Config
from ..embedding.plan import Plan
from ..sources import Shard, read_records
from ..sources.opening import NotAsListedError
from ..store.notes import stage_seconds

SAMPLED_SHARDS = 5
SAMPLED_IMAGES = 64
"""Of each of those shards, from its beginning."""


@dataclass(frozen=True)
class Rates:
    """What one image comes to.

    Attributes:
        bytes: of a shard.
        seconds: of work in one thread, from the shard to the embedding file.
        told_by: where this is from.
    """

    bytes: float
    seconds: float
    told_by: str


def rates(config: Config, plan: Plan) -> Rates | None:
    """From the notes of what was embedded before; of an empty store, from a sample that is embedded now.

    Returns:
        None where neither holds an image.

    Raises:
        LookalikeError: if the encoder cannot be opened.
        OSError: if a shard cannot be read.
    """
    images = read = size = 0
    seconds = 0.0
    for note in plan.stored:
        size += note.bytes
        read += note.read
        if note.embedded and not note.reused:
            images += note.embedded
            seconds += sum(stage_seconds([note]).values())
    if images:
        return Rates(size / read, seconds / images, f"{images:,} images in the store")
    return _sampled(config, plan.missing)


def _sampled(config: Config, shards: Sequence[Shard]) -> Rates | None:
    """From the first images of some shards that lie far apart. The store is not touched."""
    if not shards:
        return None
    places = sorted({number * len(shards) // SAMPLED_SHARDS for number in range(SAMPLED_SHARDS)})
    threads = config.embed.threads or cores()
    encoder = Encoder.load(config.encoder, threads=threads, max_pixels=config.corpus.max_pixels)
    images: list[bytes] = []
    started = time.perf_counter()
    for place in places:
        records = read_records(shards[place], config.corpus.source_options())
        try:
            images += (record.image for record in itertools.islice(records, SAMPLED_IMAGES))
        except NotAsListedError:
            continue  # the night will tell of it
    read = time.perf_counter() - started
    if not images:
        return None
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    encoded = list(encoder.map(batches))
    work = read + sum(batch.decode_seconds + batch.network_seconds for batch in encoded)
    size = sum(map(len, images)) / len(images)
    return Rates(size, work / len(images), f"a sample of {len(images):,} images, embedded just now")
