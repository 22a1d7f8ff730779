"""Verifying: reads every file of a store's generations again, and compares it with what the manifests say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from . import generations, kept
from .generation import CURRENT, Generation, IndexRef, current_name, generation_folder, read_current
from .hidden import read_hidden
from .notes import COUNTS, EmbeddedShard, adds_up, parse_note, totals

_CONTENT = (
    *("shard", "digest", "encoder", "options", "read", "rejected", "duplicates", "damaged"),
    *("path", "sha256", "rejects_path", "rejects_sha256"),
)
"""What a shard's note and a manifest must agree on; its token changes when a shard is touched."""
_AT_ONCE = 4096
"""Shards whose findings are waited for."""


def verify(root: str, name: str | None = None) -> list[str]:
    """Checks every digest and every count of generations. Reads everything once, whoever names it.

    Checked are `CURRENT`, the manifests, the embedding files, rejects and notes of all image shards, all files of
    all index shards, and what is kept of embedding files for the next run.

    Args:
        root: folder of the store.
        name: of a generation; None for all.

    Returns:
        A sentence for each problem, naming the file; empty if there is none.

    Raises:
        LookalikeError: if there is no generation of this name.
    """
    problems = [] if name else list(_of_current(root))
    known = generations.names(root)
    found: list[Generation] = []
    for one in known if name is None else [name]:
        try:
            found.append(generations.show(root, one))
        except LookalikeError as error:
            if one not in known:
                raise
            problems.append(str(error))
    refs = {(r.key, r.manifest_sha256, r.count): r for g in found for r in g.indexes}.values()
    with ThreadPoolExecutor() as pool:
        seen: set[int] = set()
        for generation in found:
            try:
                notes = generations.served_notes(root, generation)
            except LookalikeError as error:
                problems.append(str(error))
                continue
            problems += _of_counts(generation, notes)
            problems += _of_duplicates(root, generation)
            new = (note for note in notes if not _is_seen(note, seen))
            while some := list(itertools.islice(new, _AT_ONCE)):
                for part in pool.map(lambda note: list(_of_shard(root, note)), some):
                    problems += part
        for part in pool.map(lambda ref: list(_of_index(root, ref)), refs):
            problems += part
    for encoder in sorted({generation.encoder for generation in found}):
        problems += kept.damage(root, encoder)
    return list(dict.fromkeys(problems))


def _of_current(root: str) -> Iterator[str]:
    try:
        if (name := current_name(root)) is not None:
            read_current(root)
            if name not in generations.names(root):
                yield f"{CURRENT} names {name}, which is not there"
        elif generations.names(root):
            yield f"{files.join(root, CURRENT)} is not there: no generation is served"
    except LookalikeError as error:
        yield str(error)


def _is_seen(note: EmbeddedShard, seen: set[int]) -> bool:
    """Whether a shard's files were met before, in another generation; from now on they were."""
    key = hash(tuple(getattr(note, name) for name in (*_CONTENT, *COUNTS)))
    known = key in seen
    seen.add(key)
    return known


def _of_counts(generation: Generation, notes: Sequence[EmbeddedShard]) -> Iterator[str]:
    where = f"generation {generation.name}"
    for note in notes:
        if not adds_up(note):
            yield f"{where}: the counts of {note.shard} do not add up"
    for kind, total in totals(notes).items():
        if generation.counts.get(kind) != total:
            yield f"{where}: expected {kind} of {total:,}. Received: {generation.counts.get(kind)}"
    items = sum(ref.count for ref in generation.indexes)
    if generation.counts.get("items") != items:
        yield f"{where}: expected {items:,} items, as in its index. Received: {generation.counts.get('items')}"


def _of_duplicates(root: str, generation: Generation) -> Iterator[str]:
    path = files.join(generation_folder(root, generation.name), "duplicates.parquet")
    yield from _of_table(path, None, generation.duplicates)


def _of_shard(root: str, note: EmbeddedShard) -> Iterator[str]:
    yield from _of_table(files.join(root, note.path), note.sha256, note.embedded + note.reused)
    yield from _of_table(
        files.join(root, note.rejects_path), note.rejects_sha256, note.rejected + note.duplicates
    )
    path = files.join(root, note.path.removesuffix(".parquet") + ".json")
    try:
        beside = parse_note(files.read_bytes(path), path)
    except OSError as error:
        yield f"{path} cannot be read: {files.reason(error)}"
    except LookalikeError as error:
        yield str(error)
    else:
        differs = [name for name in _CONTENT if getattr(beside, name) != getattr(note, name)]
        if differs:
            yield f"{path} differs from the generation's manifest: {', '.join(differs)}"


def _of_table(path: str, sha256: str | None, rows: int) -> Iterator[str]:
    """Problems of a Parquet file: its digest, where one is known, and its number of rows."""
    try:
        if sha256 is not None and (problem := _of_digest(path, sha256)):
            yield problem
            return
        with files.open_read(path) as file:
            found = pq.ParquetFile(file).metadata.num_rows
        if found != rows:
            yield f"{path}: expected {rows:,} rows. Received: {found:,}"
    except OSError as error:
        yield f"{path} cannot be read: {files.reason(error)}"
    except (pa.ArrowException, UnicodeDecodeError) as error:
        yield f"{path} is damaged: {str(error).splitlines()[0]}"


def _of_digest(path: str, sha256: str) -> str | None:
    found = files.sha256(path)
    return None if found == sha256 else f"{path} is damaged: expected SHA-256 {sha256}. Received: {found}"


def _of_index(root: str, ref: IndexRef) -> Iterator[str]:
    try:
        manifest = generations.read_index(root, ref)
    except LookalikeError as error:
        yield str(error)
        return
    folder = files.join(root, ref.path)
    hidden = ref.hidden.count if ref.hidden else 0
    if manifest.count - hidden != ref.count:
        yield f"{folder}: expected {ref.count + hidden:,} vectors. Received: {manifest.count:,}"
    try:
        if (found := len(read_hidden(root, ref.hidden))) != hidden:
            yield f"{folder}: expected {hidden:,} hidden rows. Received: {found:,}"
    except LookalikeError as error:
        yield str(error)
    for name, digest in manifest.files.items():
        path = files.join(folder, name)
        try:
            if problem := _of_digest(path, digest.sha256):
                yield problem
        except OSError as error:
            yield f"{path} cannot be read: {files.reason(error)}"
    held = {file.path.split("/")[-1] for file in files.list_files(folder)}
    for name in sorted(held - set(manifest.files) - {generations.MANIFEST}):
        yield f"{files.join(folder, name)} is in no manifest"
