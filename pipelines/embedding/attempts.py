"""Notes of shards whose pictures a worker decodes, by which a later attempt knows that the worker died of it, perhaps.

The note of a shard goes when the worker ends it, however that is; only a process that was ended itself leaves one. From
then on no picture of the shard is decoded in the worker, but each in a process beside it (`model.images.isolated`), so
that the one which ends its decoder is rejected by name.
"""

from __future__ import annotations

import logging

from lookalike.model.digests import sha256_json

from ..filesystem import files
from ..sources import Shard
from ..sources.fields import escape
from ..store.own_names import of_runs

logger = logging.getLogger(__name__)


def begin(store: str, shard: Shard) -> bool:
    """Notes that a shard is begun; gives whether it was begun before, and never ended. Raises OSError."""
    path = _note(store, shard)
    if files.exists(path):
        logger.warning(
            "%s: a worker ended in the middle of this shard; each of its images is decoded in a process of its own",
            escape(shard.place),
        )
        return True
    files.write_bytes(path, escape(shard.name).encode())
    return False


def end(store: str, shard: Shard) -> None:
    """Deletes the note of a shard. Raises OSError."""
    files.delete_files([_note(store, shard)])


def forget(store: str) -> None:
    """Deletes all notes, when no shard is left to be embedded. Raises OSError."""
    files.delete(of_runs(files.join(store, "attempts")))


def _note(store: str, shard: Shard) -> str:
    return files.join(store, "attempts", sha256_json([shard.name, shard.token])[:32])
