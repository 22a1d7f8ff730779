"""Which fields the first records of a shard have: for a sentence, and to tell a wrong name from a field of nulls."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.message import DecodeError

from .base import MOST_METADATA, Shard
from .fields import read_json
from .large_example import split
from .opening import open_listed
from .parquet_pages import check_schema
from .records import DIRECTORY
from .tar import DamagedError, Tar
from .tfrecord import IMAGE_FIELD, Example
from .webdataset import TEXT_MEMBERS

RECORDS = 100
"""Of a shard; a field may be rare, but a writer that knows it uses it early."""
_MOST_BYTES = 64 << 20
_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
_DAMAGE = (*_GZIP, DamagedError, DecodeError, ValueError, LookupError, RecursionError)


def fields_of(shard: Shard) -> frozenset[str]:
    """Names of the fields that the first records have, whether null or not; of a damaged shard what can be read.

    Raises:
        NotAsListedError: if the shard is not the one that was listed.
        OSError: if the file system fails otherwise.
    """
    if shard.format == "folder":
        return frozenset([DIRECTORY])
    with open_listed(shard.files[0]) as raw:
        if shard.format == "parquet":
            with contextlib.suppress(pa.ArrowException, OSError, ValueError):
                check_schema(raw)
                return frozenset(pq.read_schema(raw).names)
            return frozenset()
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if zipped else raw
        found: set[str] = set()
        names = _of_tfrecord(file) if shard.format == "tfrecord" else _of_tar(file)
        # What is wrong with a shard is told by its reader.
        with contextlib.suppress(*_DAMAGE):
            for some in itertools.islice(names, RECORDS):
                found |= some
        return frozenset(found)


def _of_tfrecord(file: IO[bytes]) -> Iterator[set[str]]:
    left = _MOST_BYTES
    while len(header := file.read(12)) == 12:
        length = struct.unpack("<Q", header[:8])[0]
        left -= length
        if left < 0:
            return
        data = file.read(length)
        if length > MOST_METADATA:
            data, _ = split(data, IMAGE_FIELD)
        yield set(Example.FromString(data).features.feature)
        file.read(4)


def _of_tar(file: IO[bytes]) -> Iterator[set[str]]:
    archive = Tar(file)
    for member in archive:
        if archive.offset > _MOST_BYTES:
            return
        extension = member.name.rpartition("/")[2].partition(".")[2].lower()
        if extension in TEXT_MEMBERS:
            yield {extension}
        elif extension == "json" and member.kind == "file" and member.size <= MOST_METADATA:
            stored, _ = read_json(archive.read())
            yield set(stored) if isinstance(stored, dict) else set()
