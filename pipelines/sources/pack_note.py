"""The note beside packed shards: which files are packing's own, so that it may replace and remove them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from lookalike.model.errors import LookalikeError

from ..filesystem import files

NOTE = ".lookalike-pack.json"
_FORMAT = 1
_SHARD = re.compile(r"shard-[0-9a-f]{12,}\.(tfrecord|tar|parquet)")


def write_note(out: str, names: Iterable[str]) -> None:
    """Notes that these files of the folder `out`, made or to be made, are packing's own. Raises OSError."""
    note = {"format": _FORMAT, "shards": sorted(names)}
    files.write_bytes(files.join(out, NOTE), json.dumps(note, indent=1).encode())


def read_note(out: str) -> frozenset[str]:
    """The names of the files that packing has made, or began to make, in the folder `out`.

    Raises:
        LookalikeError: if the note is none, names what is no shard, or is of another version.
        OSError: if it cannot be read.
    """
    path = files.join(out, NOTE)
    try:
        note = json.loads(files.read_bytes(path))
        if note["format"] == _FORMAT and all(map(_SHARD.fullmatch, note["shards"])):
            return frozenset(note["shards"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise LookalikeError(
        f"Expected the note of an earlier pack, of format {_FORMAT}; remove the folder {out} or name another. "
        f"Received: {path}, which is none"
    )
