"""Pruning: deletes old generations, and the artifacts that no kept generation names.

What is deleted, and when:

- A generation is kept if it is served, among the newest `keep_count`, younger than `keep_days`, or being read.
- An artifact that a kept generation names is kept.
- Of what was read of embedding files (`kept`), that of encoders that no kept generation has is deleted.
- What is not called as runs call it (`own_names`) is not theirs, and stays.
- Of the other artifacts, what a deleted generation named is deleted with it. What none ever named may be work that is
  still to be published: it is deleted when it is older than both the newest kept generation, which did not want
  it, and `keep_days` (at least a day).

A kill at any moment leaves every listed generation whole: a generation's manifest first becomes a tombstone,
`pruned.json`, which the next prune takes up again, with the table of shards beside it; both are deleted last. An
artifact loses first what makes it count as finished, the note of an embedding file or the manifest of an index shard.
On an object store the file of all notes is not taken at its word meanwhile (`note_file`).

A query that runs is safe. On a local store it holds a shared lock on the manifest (`generations.reading`); prune
makes a tombstone only of a manifest it can lock alone. For a URL, files are deleted only by a prune that
comes `GRACE_SECONDS` after the tombstone: until then, whoever has read the manifest finds them. A query of hours that
opens index shards one after another, on a URL, needs its generation among those that are kept so long.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any

from lookalike.model.encoder.manifest import MANIFEST as ENCODER
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from . import generations, index_manifest
from . import kept as kept_rows
from .encoders import FOLDER, encoder_path
from .generation import SHARDS, Generation, ShardsRef, current_name, generation_folder
from .generations import MANIFEST
from .lock import flocked
from .note_file import without
from .note_table import read_note_table
from .notes import embedding_of, rejects_beside, rejects_of
from .own_names import is_artifact, is_generation

logger = logging.getLogger(__name__)

TOMBSTONE = "pruned.json"
GRACE_SECONDS = 3600.0
_DAY = 86400.0


@dataclass(frozen=True)
class PruneSummary:
    """What pruning did, or would do. Each generation is in one of the first three.

    Attributes:
        kept: names of the generations that are left, oldest first.
        deleted: names of those whose files were deleted.
        waiting: names of those that are listed no more, and whose files a prune an hour later deletes.
        in_use: of `kept`, those left only because a query reads them.
        artifacts: index shards, embedding files and encoders that were deleted, relative to the store, sorted.
        files: number of files deleted.
        bytes: their size.
    """

    kept: tuple[str, ...]
    deleted: tuple[str, ...]
    waiting: tuple[str, ...]
    in_use: tuple[str, ...]
    artifacts: tuple[str, ...]
    files: int
    bytes: int


Keys = AbstractSet[int]
"""Artifacts, each by a digest of 64 bits of its path: two of a million are equal in one of 37 million stores, and then
one is deleted a prune too late."""


@dataclass(frozen=True)
class _Grave:
    """A generation with a tombstone, the artifacts it named (None: unknown), and whether they may be deleted now."""

    name: str
    artifacts: Keys | None
    due: bool


def prune(
    root: str,
    keep_count: int = 7,
    keep_days: float | None = None,
    *,
    dry_run: bool = False,
    now: float | None = None,
) -> PruneSummary:
    """Deletes generations past their time and what only they named. Call it under `lock.hold`.

    Args:
        root: folder of the store.
        keep_count: newest generations to keep, at least 1.
        keep_days: keep every generation younger than this, in days; None for none but the newest.
        dry_run: delete nothing.
        now: seconds since 1970; None asks the clock. A clock that is behind makes prune keep more.

    Raises:
        LookalikeError: if a generation to be kept cannot be read: what it names is unknown. Nothing is deleted.
        OSError: if a file cannot be deleted; the next prune goes on.
    """
    if keep_count < 1 or (keep_days is not None and not keep_days >= 0):
        raise LookalikeError(
            f"Expected to keep 1 generation or more, and 0 days or more. Received: {keep_count}, {keep_days}"
        )
    now = time.time() if now is None else now
    folders = _generation_folders(root)
    kept, doomed = _sorted_out(root, keep_count, keep_days, now)
    wanted: set[int] = set()
    encoders: set[str] = set()
    for name in kept:
        generation = generations.read(root, name)
        encoders.add(generation.encoder)
        wanted |= _keys(named_artifacts(root, generation))
    graves = list(_old_graves(folders, now))
    in_use = []
    for name in doomed:
        doomed_one, named = _named_or_nothing(root, name)
        if _buried(folders[name][MANIFEST].path, doomed_one, dry_run):
            graves.append(_Grave(name, named, due=not files.is_remote(root)))
        else:
            in_use.append(name)
            wanted |= named
    wanted = wanted.union(*(grave.artifacts or () for grave in graves if not grave.due))
    condemned = set[int]().union(*(grave.artifacts or () for grave in graves if grave.due))
    cutoff = _cutoff([folders[name][MANIFEST] for name in kept], keep_days, now)
    # Whoever reads a generation that has just lost its manifest may need any of them.
    may_be_read = any(grave.artifacts is None and not grave.due for grave in graves)
    gone = {
        path: found
        for path, found in ({} if may_be_read else _artifacts(root, wanted)).items()
        if _key(path) in condemned or _older(found, cutoff)
    }
    rows = [*kept_rows.of_others(root, encoders)]
    listed = {*kept, *doomed, *(grave.name for grave in graves)}
    emptied = [grave.name for grave in graves if grave.due] + sorted(folders.keys() - listed)
    if not dry_run:
        files.delete_files(file.path for file in rows)
        with without(root, gone):
            _delete_artifacts(root, gone)
        for name in emptied:
            held = folders[name]
            files.delete(file.path for key, file in held.items() if key not in (TOMBSTONE, SHARDS))
            files.delete([held[TOMBSTONE].path] if TOMBSTONE in held else [])
            files.delete([generation_folder(root, name)])
    sizes = [
        file.size
        for found in (*gone.values(), rows, *(folders[n].values() for n in emptied))
        for file in found
    ]
    return PruneSummary(
        kept=tuple(sorted([*kept, *in_use])),
        deleted=tuple(sorted(grave.name for grave in graves if grave.due)),
        waiting=tuple(sorted(grave.name for grave in graves if not grave.due)),
        in_use=tuple(in_use),
        artifacts=tuple(sorted(gone)),
        files=len(sizes),
        bytes=sum(sizes),
    )


def may_be_due(root: str, keep_count: int = 7) -> bool:
    """Whether there are more generations than `keep_count`, also those that a killed prune left half deleted."""
    return len(_generation_folders(root)) > keep_count


def _generation_folders(root: str) -> dict[str, dict[str, FileInfo]]:
    """Name of a generation's folder -> name of a file in it -> the file."""
    found: defaultdict[str, dict[str, FileInfo]] = defaultdict(dict)
    for file in files.list_files(files.join(root, "generations")):
        folder, name = file.path.split("/")[-2:]
        if is_generation(folder):
            found[folder][name] = file
    return found


def _sorted_out(
    root: str, keep_count: int, keep_days: float | None, now: float
) -> tuple[list[str], list[str]]:
    """Names of the generations to keep and to delete."""
    names = generations.names(root)
    keep = {*names[-keep_count:], current_name(root)}
    if keep_days is not None:
        keep.update(name for name in names if now - _published(name) < keep_days * _DAY)
    return [name for name in names if name in keep], [name for name in names if name not in keep]


def _published(name: str) -> float:
    """Seconds since 1970 of a generation's publication: its name begins with it, also if its manifest is damaged."""
    try:
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise LookalikeError(
            f"Expected a generation's name that begins with its time. Received: {name}"
        ) from None


def named_artifacts(root: str, generation: Generation) -> Iterator[str]:
    """The encoder, index shards and embedding files that a generation is made of, relative to the store.

    Raises:
        LookalikeError: if its table of shards is not there, or damaged.
    """
    yield encoder_path(generation.encoder)
    yield from (ref.path for ref in generation.indexes)
    yield from (note.path for note in generations.served_notes(root, generation))


def _keys(paths: Iterable[str]) -> set[int]:
    return set(map(_key, paths))


def _key(path: str) -> int:
    return int.from_bytes(blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def _named_or_nothing(root: str, name: str) -> tuple[Generation | None, set[int]]:
    """A generation and what it names; nothing if it is damaged: then only age condemns its artifacts."""
    try:
        generation = generations.read(root, name)
        return generation, _keys(named_artifacts(root, generation))
    except LookalikeError:
        return None, set()


def _old_graves(folders: Mapping[str, Mapping[str, FileInfo]], now: float) -> Iterator[_Grave]:
    """The generations that an earlier prune has buried, but not deleted yet."""
    for name, held in folders.items():
        if TOMBSTONE in held and MANIFEST not in held:
            tombstone = held[TOMBSTONE]
            due = not files.is_remote(tombstone.path) or _modified(tombstone) < now - GRACE_SECONDS
            yield _Grave(name, _buried_artifacts(tombstone.path), due)


def _buried_artifacts(tombstone: str) -> Keys | None:
    """What a tombstone names; None if it is damaged: then only age condemns those artifacts."""
    try:
        told = json.loads(files.read_bytes(tombstone))
        named = told if isinstance(told, list) else told["artifacts"]
        if not isinstance(named, list) or not all(isinstance(path, str) for path in named):
            raise ValueError
        keys = _keys(named)
        if isinstance(told, dict) and told["shards"]:
            path = tombstone.removesuffix(TOMBSTONE) + SHARDS
            with files.open_read(path) as file:
                keys |= _keys(note.path for note in read_note_table(file, path)[0])
    except (ValueError, TypeError, KeyError, RecursionError, LookalikeError, FileNotFoundError):
        logger.warning("%s is damaged: what its generation alone named is deleted when it is old", tombstone)
        return None
    return keys


def _buried(manifest: str, generation: Generation | None, dry_run: bool) -> bool:
    """Makes a tombstone of a manifest, or only looks whether it could. Returns False if a query reads it."""
    with contextlib.ExitStack() as held:
        if not files.is_remote(manifest):
            try:
                held.enter_context(flocked(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_RDWR))
            except BlockingIOError:
                return False
        if not dry_run:
            tombstone = manifest.removesuffix(MANIFEST) + TOMBSTONE
            files.write_bytes(tombstone, json.dumps(_epitaph(generation)).encode())
            files.delete([manifest])
            _sync([manifest])
        return True


def _epitaph(generation: Generation | None) -> dict[str, Any]:
    """What a tombstone says: the artifacts that were named, but for those that the table of shards still names."""
    if generation is None:
        return {"artifacts": [], "shards": False}
    beside = () if isinstance(generation.shards, ShardsRef) else generation.shards
    named = sorted(
        {
            encoder_path(generation.encoder),
            *(ref.path for ref in generation.indexes),
            *(note.path for note in beside),
        }
    )
    return {"artifacts": named, "shards": isinstance(generation.shards, ShardsRef)}


def _artifacts(root: str, wanted: Keys) -> dict[str, list[FileInfo]]:
    """Every encoder, index shard and embedding file that is not wanted, by its path relative to the store -> its files,
    finished or not.
    """
    found: defaultdict[str, list[FileInfo]] = defaultdict(list)
    for kind in ("indexes", "embeddings"):
        for file in files.each_file(files.join(root, kind)):
            if kind == "indexes":
                path = f"indexes/{file.path.split('/')[-2]}"
            else:
                path = "/".join(["embeddings", *embedding_of(file.path).split("/")[-2:]])
            if is_artifact(path) and _key(path) not in wanted:
                found[path].append(file)
    encoders = files.join(root, FOLDER)
    for file in files.each_file(encoders):
        path = encoder_path(file.path.removeprefix(encoders.rstrip("/") + "/").split("/")[0])
        if is_artifact(path) and _key(path) not in wanted:
            found[path].append(file)
    return found


def _modified(file: FileInfo) -> float:
    """Seconds since 1970 of a file's last change; 0 if its file system does not tell."""
    return float(file.modified) / (1 if files.is_remote(file.path) else 1e9)


def _cutoff(kept_manifests: Sequence[FileInfo], keep_days: float | None, now: float) -> float:
    newest = max(map(_modified, kept_manifests), default=0.0)
    return min(newest, now - max(keep_days or 0.0, 1.0) * _DAY)


def _older(found: Sequence[FileInfo], cutoff: float) -> bool:
    return all(0 < _modified(file) < cutoff for file in found)


def _delete_artifacts(root: str, paths: Collection[str]) -> None:
    """Deletes first what makes artifacts count as finished, then the rest; surely so, before a tombstone goes."""
    bases = {path: files.join(root, path.removesuffix(".parquet")) for path in paths}
    files.delete_files(_mark(path, base) for path, base in bases.items())
    embeddings: list[str] = []
    folders: list[str] = []
    for path, base in bases.items():
        if path.startswith("embeddings/"):
            embedding = f"{base}.parquet"
            embeddings += [embedding, rejects_of(embedding), rejects_beside(embedding)]
        else:
            folders.append(base)
    files.delete_files(embeddings)
    files.delete(folders)
    _sync([*embeddings, *folders])


def _mark(path: str, base: str) -> str:
    """The file without which an artifact does not count."""
    if path.startswith("embeddings/"):
        return f"{base}.json"
    return files.join(base, index_manifest.MANIFEST if path.startswith("indexes/") else ENCODER)


def _sync(paths: Iterable[str]) -> None:
    for folder in sorted({os.path.dirname(path) for path in paths if not files.is_remote(path)}):
        with contextlib.suppress(FileNotFoundError):  # of rejects: a store of before has none
            files.sync(folder)
