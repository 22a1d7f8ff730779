"""Copies that the job makes itself of some pictures of the catalogue, to learn what copies are like."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lookalike.model.cores import cores
from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.images.isolated import decode

from ..filesystem import files
from ..index.scores import checked, nearness, pair_scores
from ..query.inputs import check_encoder
from ..sources import Record, Shard, SourceOptions, find_shards, read_records
from .alignment import SIDE, correlation, thumbnail
from .catalogues import Catalogue
from .threshold import MadeCopies
from .thumbnails import look_of, packed

if TYPE_CHECKING:
    from lookalike.model.encoder.bundle import Encoder

_LONGEST_SIDE = 1024
"""Pictures are reduced to this before copies are made of them."""
_MOST_BYTES = 32 << 20
"""Larger images are left out of the sample."""
_SHARDS = 16
"""From so many image shards the sample is taken, if there are as many."""


def resized(pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    """At half to one and a half times its size."""
    scale = float(rng.uniform(0.5, 1.5))
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return jpeg(cv2.resize(pixels, size, interpolation=method), 90)


def recompressed(pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    """As a JPEG of quality 30 to 70."""
    return jpeg(pixels, int(rng.integers(30, 71)))


def cropped(pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    """To 90 % of its width and height, anywhere."""
    height, width = (max(1, round(0.9 * side)) for side in pixels.shape[:2])
    top, left = rng.integers(pixels.shape[0] - height + 1), rng.integers(pixels.shape[1] - width + 1)
    return jpeg(pixels[top : top + height, left : left + width], 90)


def recoloured(pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    """With other saturation, contrast, brightness and white balance."""
    values = pixels.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * np.float32(rng.uniform(0.6, 1.4))
    mean = values.mean()
    values = mean + (values - mean) * np.float32(rng.uniform(0.75, 1.25))
    values *= rng.uniform(0.85, 1.15) * rng.uniform(0.94, 1.06, 3).astype(np.float32)
    return jpeg(np.clip(np.rint(values), 0, 255).astype(np.uint8), 90)


def flipped(pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    """Mirrored, left to right."""
    return jpeg(pixels[:, ::-1], 90)


KINDS: Mapping[str, Callable[[np.ndarray, np.random.Generator], bytes]] = {
    made.__name__: made for made in (resized, recompressed, cropped, recoloured, flipped)
}
"""Kind -> makes a copy of uint8 (height, width, 3), RGB: the bytes of a JPEG."""


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Pixels, uint8 (height, width, 3), RGB, as a JPEG of a quality from 1 to 100."""
    done, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert done
    return content.tobytes()


def made_copies(catalogue: Catalogue, sample: int) -> MadeCopies:
    """Makes copies of some pictures, a picture of each kind, and measures what they have in common with it.

    The same catalogue gives the same copies: which pictures they are of depends on a hash of their ids.

    Args:
        catalogue: whose image shards are read, and whose encoder is used.
        sample: how many pictures.

    Raises:
        LookalikeError: if the encoder is not that of the index, or no picture can be read.
        OSError: if a file cannot be read.
    """
    from lookalike.model.encoder.bundle import BATCH, Encoder

    config, generation = catalogue.config, catalogue.generation
    check_encoder(config, generation)
    encoder = Encoder.load(config.encoder, max_pixels=config.corpus.max_pixels)
    near: dict[str, list[float]] = {kind: [] for kind in KINDS}
    alike: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ThreadPoolExecutor(cores()) as pool:

        def measured(record: Record) -> tuple[list[float], list[float]] | None:
            return _measured(encoder, record, generation.metric, config.corpus.max_pixels)

        def take(waiting: deque[Future[tuple[list[float], list[float]] | None]], most: int) -> None:
            while len(waiting) > most:
                if found := waiting.popleft().result():
                    for kind, of_vectors, of_pixels in zip(KINDS, *found, strict=True):
                        near[kind].append(of_vectors)
                        alike[kind].append(of_pixels)

        assert len(KINDS) < BATCH
        running: deque[Future[tuple[list[float], list[float]] | None]] = deque()
        for record in _sampled(catalogue, sample):
            running.append(pool.submit(measured, record))
            take(running, 2 * cores())
        take(running, 0)
    if not near["resized"]:
        raise LookalikeError(
            f"Expected pictures in {config.corpus.shards}, to see what copies of them are like. Received: none that "
            "can be read; with --min-score no picture is needed"
        )
    return MadeCopies(
        {kind: np.array(values, np.float32) for kind, values in near.items()},
        {kind: np.array(values, np.float32) for kind, values in alike.items()},
    )


def _sampled(catalogue: Catalogue, sample: int) -> Iterator[Record]:
    """Records of some image shards, those whose ids have the lowest hashes."""
    options = catalogue.config.corpus.source_options()
    listed = find_shards(catalogue.config.corpus.shards, options)
    listed.sort(key=lambda shard: files.sha256_bytes(shard.name.encode("utf-8", "surrogateescape")))
    left = sample
    for number, shard in enumerate(listed):
        if left <= 0:
            return
        share = -(-left // max(1, min(_SHARDS, len(listed)) - number))
        ids = (record.item_id for record in _records(shard, options))
        chosen = set(heapq.nsmallest(share, ids, key=lambda item_id: files.sha256_bytes(item_id.encode())))
        left -= len(chosen)
        # Read twice, as the images of all might not fit into memory.
        for record in _records(shard, options):
            if record.item_id in chosen:
                chosen.remove(record.item_id)
                yield record


def _records(shard: Shard, options: SourceOptions) -> Iterator[Record]:
    records = read_records(shard, replace(options, metadata={}))
    return (record for record in records if len(record.image) <= _MOST_BYTES)


def _measured(
    encoder: Encoder, record: Record, metric: str, max_pixels: int
) -> tuple[list[float], list[float]] | None:
    """Of a picture and each of its copies, how near their vectors are and how well their pixels agree."""
    try:
        # Among them may be one that was rejected because it ends the process which decodes it.
        pixels = decode(record.image, max_pixels=max_pixels, min_side=_LONGEST_SIDE, suspect=True).pixels
    except ImageError:
        return None
    if (scale := _LONGEST_SIDE / max(pixels.shape[:2])) < 1:
        size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(int(files.sha256_bytes(record.item_id.encode())[:16], 16))
    copies = [make(pixels, rng) for make in KINDS.values()]
    batch = encoder.encode_batch([record.image, *copies], suspect=True)
    if batch.errors:
        return None
    vectors = checked(batch.vectors, metric)  # type: ignore[arg-type]
    rows = np.arange(1, len(vectors))[None]
    near = nearness(pair_scores(vectors, vectors[:1], rows, metric), metric)[0]  # type: ignore[arg-type]
    first, *others = (
        look_of(packed(thumbnail(decode(data, max_pixels=max_pixels, min_side=SIDE, suspect=True).pixels)))
        for data in (record.image, *copies)
    )
    return near.tolist(), [correlation(first, other) for other in others]
