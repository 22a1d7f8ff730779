"""Image shards in: TFRecord, WebDataset tar, Parquet and folders, each read by one small module; and packed.

Others use `find_shards`, `read_records`, `SourceOptions` and what is in `records` and `opening`. May import filesystem
and model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from .base import FILE_FORMATS, FORMATS, FileFormat, Shard, ShardFormat, SourceOptions
from .find import find_shards
from .records import Record, Reject

__all__ = [
    "FILE_FORMATS",
    "FORMATS",
    "FileFormat",
    "Shard",
    "ShardFormat",
    "SourceOptions",
    "find_shards",
    "read_records",
    "read_shard",
]


def read_shard(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """Reads one shard as a stream; a few records are in memory at a time.

    Every stored record comes as exactly one Record or Reject, numbered from 0 in the order of the shard.
    Damage behind which nothing can be read comes as one last Reject with `ends_shard` set.

    Raises:
        NotAsListedError: if the file of a shard is gone, may not be read or is another than was listed.
        OSError: if the file system fails otherwise, which a repetition may mend; never for what a shard holds.
    """
    if shard.format != "folder" and (problem := shard.files[0].problem):
        return iter([Reject(None, 0, "read", problem, ends_shard=True)])
    # Of the same name as the format, and with libraries that a job without images does not need.
    read: Callable[[Shard, SourceOptions], Iterator[Record | Reject]]
    read = import_module(f".{shard.format}", __name__).read
    return read(shard, options)


def read_records(
    shard: Shard, options: SourceOptions, rejected: Callable[[Reject], object] | None = None
) -> Iterator[Record]:
    """The records of one shard as a stream, for those who want no rejects in between.

    Args:
        shard: the shard.
        options: how it is read.
        rejected: called with each reject at its place between the records; None passes over them.

    Raises:
        OSError: as `read_shard`.
    """
    for entry in read_shard(shard, options):
        if isinstance(entry, Record):
            yield entry
        elif rejected is not None:
            rejected(entry)
