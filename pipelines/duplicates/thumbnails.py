"""The pictures of items, read from the image shards again: small, to be compared, and digests of all their pixels.

thumbnails/NUMBER.arrow  rows of `THUMBNAILS`, of the images of one shard
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from lookalike.model.cores import cores
from lookalike.model.errors import ImageError
from lookalike.model.images.isolated import decode

from ..filesystem import files
from ..runner import progress
from ..sources import Record, Shard, SourceOptions, read_records
from ..sources.opening import NotAsListedError
from . import alignment

logger = logging.getLogger(__name__)
THUMBNAILS = pa.schema([("item", pa.int64()), ("picture", pa.binary()), ("pixels", pa.string())])
"""Number of an item; its thumbnail as a JPEG, a third of the bytes; SHA-256 of its pixels, null unless it is wanted."""
_QUALITY = 95
_AHEAD, _WAITING_BYTES = 16, 128 << 20
"""Images a thread that wait to be decoded, and bytes of all that wait; one alone may have more."""
_ROWS = 1000


@dataclass(frozen=True)
class ImageShard:
    """Images of one shard that are wanted.

    Attributes:
        number: of the piece of work.
        side: of the catalogue.
        shard: as it is listed.
        wanted: id -> number of the item, SHA-256 of its bytes, and whether the digest of its pixels is wanted.
    """

    number: int
    side: int
    shard: Shard
    wanted: Mapping[str, tuple[int, str, bool]]

    def to_json(self) -> list[Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return [self.number, self.side, self.shard.to_json(), dict(self.wanted)]

    @classmethod
    def from_json(cls, data: list[Any]) -> ImageShard:
        """What `to_json` was asked of."""
        number, side, shard, wanted = data
        return cls(number, side, Shard.from_json(shard), {name: tuple(one) for name, one in wanted.items()})


@dataclass(frozen=True)
class MakeThumbnails:
    """Image shards -> files of thumbnails. It travels to workers.

    Attributes:
        folder: of the run.
        options: of each side, how its shards are read.
        max_pixels: of each side; larger images are refused.
    """

    folder: str
    options: tuple[SourceOptions, ...]
    max_pixels: tuple[int, ...]

    def __call__(self, shards: Iterable[ImageShard]) -> None:
        note = progress.worker_note(files.join(self.folder, "progress"))
        with ThreadPoolExecutor(cores()) as pool:
            for one in shards:
                path = files.join(self.folder, "thumbnails", f"{one.number:07}.arrow")
                with (
                    files.write_atomic(path, lasting=False) as file,
                    pa.ipc.new_file(file, THUMBNAILS) as writer,
                ):
                    for rows in self._rows(one, pool):
                        writer.write_batch(pa.RecordBatch.from_pylist(rows, THUMBNAILS))
                        note.add(images=len(rows), work=len(rows))
                note.add(shards=1)
        note.write()

    def _rows(self, one: ImageShard, pool: ThreadPoolExecutor) -> Iterator[list[dict[str, Any]]]:
        """Rows of `THUMBNAILS`, some at a time; none of what is gone or has changed."""
        waiting: deque[tuple[int, Future[dict[str, Any] | None]]] = deque()
        rows = []
        options = replace(self.options[one.side], metadata={})
        try:
            for record in read_records(one.shard, options):
                if record.item_id in one.wanted:
                    waiting.append((len(record.image), pool.submit(self._row, record, one)))
                while len(waiting) > _AHEAD * cores() or (
                    len(waiting) > 1 and sum(size for size, _ in waiting) > _WAITING_BYTES
                ):
                    rows.append(waiting.popleft()[1].result())
                if len(rows) >= _ROWS:
                    yield [row for row in rows if row]
                    rows = []
        except NotAsListedError as error:
            logger.warning("%s: its pictures are not compared: %s", one.shard.place, error)
        rows += [future.result() for _, future in waiting]
        yield [row for row in rows if row]

    def _row(self, record: Record, one: ImageShard) -> dict[str, Any] | None:
        item, content, all_pixels = one.wanted[record.item_id]
        if files.sha256_bytes(record.image) != content:
            return None
        side = None if all_pixels else alignment.SIDE
        try:
            pixels = decode(record.image, max_pixels=self.max_pixels[one.side], min_side=side).pixels
        except ImageError:
            return None
        digest = (
            hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest() if all_pixels else None
        )
        return {"item": item, "picture": packed(alignment.thumbnail(pixels)), "pixels": digest}


def packed(grey: np.ndarray) -> bytes:
    """A thumbnail as bytes."""
    done, content = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return content.tobytes()


def look_of(picture: bytes) -> alignment.Look:
    """What is compared of a thumbnail that `packed` made."""
    return alignment.Look.of(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE))
