"""A shard and the options it is read with: what the listing hands to the readers, also between processes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Literal, get_args

from lookalike.model.errors import LookalikeError

from ..filesystem.files import FileInfo
from ..filesystem.paths import anchored
from .roots import absolute, relative_path
from .types import arrow_type

FileFormat = Literal["tfrecord", "webdataset", "parquet"]
"""A format in which a file is a shard."""
ShardFormat = Literal[FileFormat, "folder"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
FORMATS: tuple[ShardFormat, ...] = get_args(ShardFormat)
OUR_COLUMNS = (
    "item_id",
    "embedding",
    "content_hash",
    "width",
    "height",
    "query_id",
    "rank",
    "score",
    "probability",
)
"""Columns of our own tables: no field of metadata is called so."""
IMAGE_EXTENSIONS = frozenset(
    [
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff"),
        *("avif", "heic", "heif", "hif", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jxl", "dcm", "dicom"),
    ]
)
"""By which a file is taken for an image without a look at its content."""
_OTHER = """
    txt md rst tex log html htm css js py sh ipynb pdf doc docx csv tsv json jsonl ndjson xml yaml
    yml toml ini cfg conf xmp aae md5 sha1 sha256 sha512 sfv lst list url lnk webloc xls xlsx ppt db
    sqlite pkl pickle npy npz h5 hdf5 mat pt pth parquet arrow feather tar tgz gz bz2 xz zst zip 7z
    rar mp4 m4v mov avi mkv webm mpg mpeg 3gp lrv wav mp3 m4a flac ogg
"""
OTHER_EXTENSIONS = frozenset(_OTHER.split())
"""Of files that lie beside images and are none, unless their content is an image."""
MAX_BYTES = 256 << 20
"""The most that a record may take unless the job file says otherwise."""
MOST_METADATA = 16 << 20
"""Bytes of a record's metadata that are read: as Python objects they take up to 20 times as much."""
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

    def to_json(self) -> list[Any]:
        """It in types of JSON, from which `from_json` makes it again wherever that is: its paths are absolute."""
        name, format, root, files = self.as_listed()
        return [name, format, root and anchored(root), [[anchored(path), *more] for path, *more in files]]

    def as_listed(self) -> list[Any]:
        """The same with paths as they were listed, for `from_json` in this process."""
        return [self.name, self.format, self.root, [astuple(file) for file in self.files]]

    @classmethod
    def from_json(cls, data: list[Any]) -> Shard:
        """The shard that `to_json` was asked of; its name and token are the same."""
        name, format, root, files = data
        return cls(name, format, tuple(FileInfo(*file) for file in files), root)

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
            for part in (path, str(file.size), file.modified, *filter(None, [file.problem])):
                digest.update(os.fsencode(part) + b"\0")
        return digest.hexdigest()

    @property
    def stem(self) -> str:
        """The base name without the format's extensions; for a folder shard, the folder's base name.

        How the folder is written makes no difference: `.` has the name that it has from outside.
        """
        path = absolute(self.root) if self.root else self.name
        return _SHARD_EXTENSION.sub("", path.rpartition("/")[2])

    def id_of(self, position: int) -> str:
        """The id that a record has by its place: the shard's name without its extensions, a slash, the position."""
        return f"{_SHARD_EXTENSION.sub('', self.name)}/{position}"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How shards are found and read; the `corpus` section of a configuration.

    Attributes:
        format: one of `FORMATS`; None to tell it from the file's name and else from its first bytes.
        item_id: `key` (the format's own id), `shard/key` (the shard's base name without its extensions, a
            slash, the key), `field:NAME` (a feature, column or member of the `.json`), or `position` (the shard's
            name without its extensions, a slash, the position: it changes with the shard's name and order).
        image_field: the feature (default `image/encoded`), column (default: one named like an image) or, of
            WebDataset, extension (see `webdataset.read`) that holds the image.
        id_field: the feature (default `image/filename`, else `id`) or column (default: one named like an id)
            that holds the key.
        metadata: field name -> type, one of `types.TYPES`. Folders know one field, `directory`.
        images_per_shard: the mean number of images in the virtual shards of a folder.
        max_bytes: a record of more, image and metadata as stored, is rejected and never read.
        follow_links: whether links may lead out of the corpus folder.

    Raises:
        LookalikeError: for a value that is none of the above.
    """

    format: str | None = None
    item_id: str = "key"
    image_field: str | None = None
    id_field: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    images_per_shard: int = 1024
    max_bytes: int = MAX_BYTES
    follow_links: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise LookalikeError(
                f"corpus.format: expected one of {', '.join(FORMATS)}. Received: {self.format!r}"
            )
        if self.item_id not in ("key", "shard/key", "position") and not self.id_from_field:
            raise LookalikeError(
                f"corpus.item_id: expected key, shard/key, position or field:NAME. Received: {self.item_id!r}"
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
        if self.max_bytes < 1:
            raise LookalikeError(f"corpus.max_bytes: expected 1 or more. Received: {self.max_bytes!r}")

    @property
    def id_from_field(self) -> str | None:
        """NAME if `item_id` is `field:NAME`, else None."""
        return self.item_id.removeprefix("field:") or None if self.item_id.startswith("field:") else None

    @property
    def fields(self) -> tuple[str, ...]:
        """The stored fields that are asked for, whether as metadata or as the id, each once."""
        return tuple(dict.fromkeys([*self.metadata, *filter(None, [self.id_from_field])]))

    def too_large(self, size: int) -> str:
        """Why a record of so many bytes is not read."""
        return f"{size:,} bytes, more than corpus.max_bytes allows: {self.max_bytes:,}"
