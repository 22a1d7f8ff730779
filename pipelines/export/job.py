"""The export job: what a generation serves, as one set of files for other programs.

Vectors are those of the index, as that is what answers: moved towards their neighbours where the generation has
database augmentation, rounded where `index.bytes` says so. Embedding files hold what was embedded, in float32, and
hold more: what was taken down, what went since, and ids that an earlier shard has too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..filesystem.paths import anchored
from ..index.opening import open_vectors_of
from ..index.shown import served_rows
from ..runner.progress import Pace
from ..store import exclusions, generations
from ..store.generation import Generation
from ..store.index_manifest import Bytes
from .writers import FORMATS, Content, Format, opened

logger = logging.getLogger(__name__)
MANIFEST = "_export.json"
"""Readers of a folder of Parquet pass over names that begin so: pyarrow, Spark, Hive."""
FORMAT = 1
UNFINISHED = "_exporting.json"
"""Behind a URL, beside the files of an export that goes on, or that was killed."""
_OURS = re.compile(rf"part-\d{{5,}}\.parquet|ids\.parquet|vectors\.(npy|fvecs)|{MANIFEST}|{UNFINISHED}")
"""What one that was killed may have left."""
_NUMBERS_AT_ONCE = 1 << 22
"""Numbers of the vectors that are read at once: 16 MiB."""


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
        generation: what was exported.
        bytes: how the index stores the vectors.
        items: how many.
        excluded: items of the generation that are left out, as they are taken down.
        out: folder.
        files: name -> rows of it.
        size: bytes of them all.
    """

    generation: Generation
    bytes: Bytes
    items: int
    excluded: int
    out: str
    files: dict[str, int]
    size: int


def export(config: Config, out: str, form: Format = "parquet", name: str | None = None) -> ExportSummary:
    """Writes what is served: each item once, in the order of the index, the same bytes from run to run.

    A local folder appears when it is whole. Behind a URL the files arrive one by one and `_export.json` last.

    Args:
        config: the job; its store is used.
        out: folder or URL, new or empty or with an export in it, whose place this one takes.
        form: parquet, npy or fvecs.
        name: of the generation; None for the one that is served.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a file cannot be read or written.
    """
    if form not in FORMATS:
        raise LookalikeError(f"Expected a format of {', '.join(FORMATS)}. Received: {form}")
    given, out = out, anchored(out).rstrip("/") or "/"
    if not files.is_remote(out):
        out = os.path.realpath(out)  # a link stays, and leads to the export
    _check_replaceable(out)
    done: dict[str, int] = {}
    with generations.reading(config.store, name) as generation, _place(out) as folder:
        kinds = {generations.read_index(config.store, ref).parameters.bytes for ref in generation.indexes}
        made_by = {"lookalike.generation": generation.name, "lookalike.encoder": generation.encoder}
        content = Content(generation.dim, generation.metadata, made_by)
        pace, items, excluded = Pace(), 0, 0
        with opened(folder, form, content, done) as add:
            for rows, vectors, left_out in each_served(config.store, generation):
                add(rows, vectors)
                items, excluded = items + len(rows), excluded + left_out
                if pace.due():
                    logger.info("%s items exported", f"{items:,}")
        stored: Bytes = max(kinds, default="float32")
        told = _manifest(generation, stored, form, items, done)
        size = sum(file.size for file in files.each_file(folder))
        files.write_bytes(files.join(folder, MANIFEST), (json.dumps(told, indent=1) + "\n").encode())
    return ExportSummary(generation, stored, items, excluded, given, done, size)


def export_report(summary: ExportSummary) -> list[str]:
    """The summary of an export, in lines."""
    generation = summary.generation
    as_stored = (
        "float32" if summary.bytes == "float32" else f"float32, as rounded to {summary.bytes} in the index"
    )
    moved = "; moved by database augmentation" if generation.augmentation else ""
    left_out = f"; {summary.excluded:,} left out, as they are taken down" if summary.excluded else ""
    return [
        f"exported     {summary.items:,} items of generation {generation.name}{left_out}",
        f"vectors      {generation.dim} dimensions, {as_stored}, {generation.metric}, encoder "
        f"{generation.encoder_name} {generation.encoder[:16]}{moved}",
        f"files        {summary.out}: {', '.join(_names(summary.files))}, {MANIFEST} ({summary.size / 1e6:,.1f} MB)",
    ]


def _names(rows: dict[str, int]) -> list[str]:
    names = list(rows)
    return names if len(names) < 4 else [names[0], "...", names[-1]]


def each_served(store: str, generation: Generation) -> Iterator[tuple[pa.Table, np.ndarray, int]]:
    """Rows of items, their vectors, and before the first of an index shard how many of it are taken down."""
    taken_down = exclusions.excluded_ids(store)
    step = max(1, _NUMBERS_AT_ONCE // generation.dim)
    for ref in generation.indexes:
        shard = open_vectors_of(store, ref)
        rows = served_rows(shard, taken_down)
        left_out = len(shard.shown) - len(rows)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            yield shard.items.take(pa.array(part)), shard.vectors_of(part), left_out
            left_out = 0


def _manifest(
    generation: Generation, stored: Bytes, form: Format, items: int, done: dict[str, int]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "files": done,
        "kind": form,
        "items": items,
        "generation": generation.name,
        "encoder": generation.encoder,
        "encoder_name": generation.encoder_name,
        "metric": generation.metric,
        "dim": generation.dim,
        "metadata": dict(generation.metadata),
        "index_bytes": stored,
        "augmentation": generation.augmentation.model_dump() if generation.augmentation else None,
    }


def _check_replaceable(out: str) -> None:
    """Raises LookalikeError if something that is no export stands in the place of one."""
    if not files.is_remote(out) and os.path.exists(out) and not os.path.isdir(out):
        raise LookalikeError(f"Expected a folder for the export. Received: the file {out}")
    held = files.entries(out)
    strangers = held - _made_by_exports(out, held)
    if not files.is_remote(out):
        strangers |= {name for name in held if not os.path.isfile(files.join(out, name))}
    if strangers:
        raise LookalikeError(
            "Expected a new or an empty folder, or one with an export in it. "
            f"Received: {out}, which holds {min(strangers)}"
        )


def _made_by_exports(out: str, held: set[str]) -> set[str]:
    """What an export tells that it made, and what one behind a URL that was killed may have left."""
    ours = {name for name in held if _OURS.fullmatch(name)} if UNFINISHED in held else set()
    if MANIFEST in held:
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            told = json.loads(files.read_bytes(files.join(out, MANIFEST)))
            ours |= {MANIFEST, *told["files"]} if told["generation"] else set()
    return ours


@contextlib.contextmanager
def _place(out: str) -> Iterator[str]:
    """The folder to write into, which is at `out` when the block has ended well."""
    if files.is_remote(out):
        mark = files.join(out, UNFINISHED)
        files.write_bytes(mark, b"{}\n")
        # Without its list a set counts for nothing; what this one does not replace would be taken for a part of it.
        files.delete([files.join(out, MANIFEST)])
        files.delete([file.path for file in files.list_files(out) if file.path != mark])
        yield out
        files.delete([mark])
        return
    files.delete_dead(out)
    with files.write_folder(out, last=MANIFEST) as folder:
        yield folder
        _check_replaceable(out)  # somebody may have put a file there since
