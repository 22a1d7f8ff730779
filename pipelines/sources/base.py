"""A shard and the options it is read with: what the listing hands to the readers, also between processes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from lookalike.model.errors import LookalikeError

from ..filesystem.files import FileInfo
from .roots import absolute, relative_path
from .types import arrow_type

FileFormat = Literal["tfrecord", "webdataset", "parquet"]
"""A format in which a file is a shard."""
ShardFormat = Literal[FileFormat, "folder"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
FORMATS: tuple[ShardFormat, ...] = get_args(ShardFormat)
OUR_COLUMNS = ("item_id", "embedding", "content_hash", "width", "height", "query_id", "rank", "score")
"""Columns of our own tables: no field of metadata is called so."""
IMAGE_EXTENSIONS = frozenset(["jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "avif", "dcm"])
SHARD_NAMES = {
    "tfrecord": re.compile(r"\.(tfrecords?|tfrec)(-\d+-of-\d+)?(\.gz)?$", re.IGNORECASE),
    "webdataset": re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE),
    "parquet": re.compile(r"\.parquet$", re.IGNORECASE),
}
_SHARD_EXTENSION = re.compile(
    r"(\.(tfrecords?|tfrec|tar|parquet))?\.gz$|\.(tfrecords?|tfrec|tar|tgz|parquet)$", re.I
)


def shards_for(count: int, most: int) -> int:
    """How many shards so many things take, of about `most` each.

    A power of two, so that it seldom changes while a corpus grows, and the next one only splits shards.
    """
    number = 1
    while number * most < count:
        number *= 2
    return number


@dataclass(frozen=True, slots=True)
class Shard:
    """One unit of reading: a shard file, or a stable part of a folder of images.

    Attributes:
        name: the file's path relative to the corpus root (see `find_shards`), with forward slashes; of a part of
            a folder, that of the folder, `#` and the name of the part (see `cuts.cut`). Unique in a corpus.
        format: one of `FORMATS`.
        files: the files that hold the records, in the order they are read.
        root: the folder that the ids of a folder shard are relative to, as listed; empty for a file.
    """

    name: str
    format: str
    files: tuple[FileInfo, ...]
    root: str = ""

    @property
    def place(self) -> str:
        """Where it lies, for people: the file's path as listed; of a part of a folder, the folder and the part."""
        return f"{self.root}#{self.name.rpartition('#')[2]}" if self.root else self.files[0].path

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def token(self) -> str:
        """A digest over path, size and time of change of the files: equal tokens, unchanged shard.

        Paths are relative to the corpus root, so that a corpus may move.
        """
        digest = hashlib.blake2b(digest_size=16)
        folder = self.name.rpartition("#")[0]
        for file in self.files:
            path = f"{folder}/{relative_path(self.root, file.path)}" if self.root else self.name
            for part in (path, str(file.size), file.modified):
                digest.update(os.fsencode(part) + b"\0")
        return digest.hexdigest()

    @property
    def stem(self) -> str:
        """The base name without the format's extensions; for a folder shard, the folder's base name.

        How the folder is written makes no difference: `.` has the name that it has from outside.
        """
        path = absolute(self.root) if self.root else self.name
        return _SHARD_EXTENSION.sub("", path.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How shards are found and read; the `corpus` section of a configuration.

    Attributes:
        format: one of `FORMATS`; None to tell it from the file's name and else from its first bytes.
        item_id: `key` (the format's own id), `shard/key` (the shard's base name without its extensions, a
            slash, the key), or `field:NAME` (a feature, column or member of the `.json`).
        image_field: the feature (default `image/encoded`) or column (default: one named like an image) that
            holds the image.
        id_field: the feature (default `image/filename`, else `id`) or column (default: one named like an id)
            that holds the key.
        metadata: field name -> type, one of `types.TYPES`. Folders know one field, `directory`.
        images_per_shard: the mean number of images in the virtual shards of a folder.

    Raises:
        LookalikeError: for a value that is none of the above.
    """

    format: str | None = None
    item_id: str = "key"
    image_field: str | None = None
    id_field: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    images_per_shard: int = 1024

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise LookalikeError(
                f"corpus.format: expected one of {', '.join(FORMATS)}. Received: {self.format!r}"
            )
        if self.item_id not in ("key", "shard/key") and not self.id_from_field:
            raise LookalikeError(
                f"corpus.item_id: expected key, shard/key or field:NAME. Received: {self.item_id!r}"
            )
        for name, kind in self.metadata.items():
            try:
                arrow_type(kind)
            except LookalikeError as error:
                raise LookalikeError(f"corpus.metadata.{name}: {error}") from None
        if self.images_per_shard < 1:
            raise LookalikeError(
                f"corpus.images_per_shard: expected 1 or more. Received: {self.images_per_shard!r}"
            )

    @property
    def id_from_field(self) -> str | None:
        """NAME if `item_id` is `field:NAME`, else None."""
        return self.item_id.removeprefix("field:") or None if self.item_id.startswith("field:") else None

    @property
    def fields(self) -> tuple[str, ...]:
        """The stored fields that are asked for, whether as metadata or as the id, each once."""
        return tuple(dict.fromkeys([*self.metadata, *filter(None, [self.id_from_field])]))
