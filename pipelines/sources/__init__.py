"""Image shards in: TFRecord, WebDataset tar, Parquet and folders, each read by one small module; and packed.

Others use `find_shards`, `read_shard`, `SourceOptions`, and the records in `records`. May import filesystem and model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import folder, parquet, tfrecord, webdataset
from .base import FORMATS, TYPES, Shard, SourceOptions
from .find import find_shards
from .records import Record, Reject

__all__ = ["FORMATS", "TYPES", "Shard", "SourceOptions", "find_shards", "read_shard"]

_READERS: dict[str, Callable[[Shard, SourceOptions], Iterator[Record | Reject]]] = {
    "tfrecord": tfrecord.read,
    "webdataset": webdataset.read,
    "parquet": parquet.read,
    "folder": folder.read,
}


def read_shard(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """Reads one shard as a stream; a few records are in memory at a time.

    Every stored record comes as exactly one Record or Reject, numbered from 0 in the order of the shard.
    Damage behind which nothing can be read comes as one last Reject with `ends_shard` set.

    Raises:
        OSError: if the file system fails, which a repetition may mend; never for what a shard holds.
    """
    return _READERS[shard.format](shard, options)
