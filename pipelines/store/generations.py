"""The generations of a store: list them, open one to read, serve another one again."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from . import index_manifest
from .generation import (
    CURRENT,
    SHARDS,
    Generation,
    IndexRef,
    ShardsRef,
    current_name,
    generation_folder,
    read_current,
    read_generation,
)
from .index_manifest import IndexManifest
from .lock import NO_LOCKS, flocked
from .note_table import read_note_table
from .notes import EmbeddedShard
from .own_names import is_generation

MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
"""SHA-256 of a generation's manifest, beside it; checked where it is."""
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class GenerationSummary:
    """A line of the list of generations.

    Attributes:
        name: sorts by time of publication.
        current: whether queries use it.
        problem: why its manifest cannot be read; what follows is then None.
        created: time of publication, ISO 8601 in UTC.
        items: number of items served.
        shards: image shards.
        indexes: index shards.
        encoder: name and the beginning of the fingerprint.
        recall: the lowest recall of its index shards; None if none was measured.
        previous: name of the generation that was served before.
    """

    name: str
    current: bool
    problem: str | None = None
    created: str | None = None
    items: int | None = None
    shards: int | None = None
    indexes: int | None = None
    encoder: str | None = None
    recall: float | None = None
    previous: str | None = None


def names(root: str) -> list[str]:
    """Names of all generations of the store `root`, oldest first."""
    found = (file.path.split("/")[-2:] for file in files.list_files(files.join(root, "generations")))
    return sorted(folder for folder, name in found if name == MANIFEST and is_generation(folder))


def served_name(root: str) -> str | None:
    """Name of the generation that is served; None also where `CURRENT` is damaged."""
    try:
        return current_name(root)
    except LookalikeError:
        return None


def list_generations(root: str) -> list[GenerationSummary]:
    """All generations of the store `root`, oldest first; one with a damaged manifest says so."""
    current = served_name(root)
    return [_summary(root, name, name == current) for name in names(root)]


def _summary(root: str, name: str, current: bool) -> GenerationSummary:
    try:
        generation = read(root, name)
    except LookalikeError as error:
        return GenerationSummary(name, current, problem=str(error))
    return GenerationSummary(
        name,
        current,
        created=generation.created,
        items=generation.counts["items"],
        shards=generation.shard_count,
        indexes=len(generation.index_shards),
        encoder=f"{generation.encoder_name} {generation.encoder[:8]}",
        recall=min((ref.recall for ref in generation.indexes if ref.recall is not None), default=None),
        previous=generation.previous,
    )


def read(root: str, name: str) -> Generation:
    """A generation's manifest, checked against its seal; without one, against `CURRENT` if it is served.

    Raises:
        LookalikeError: if it cannot be read or differs from a digest.
    """
    seal = files.join(generation_folder(root, name), SEAL)
    if files.exists(seal):
        sealed = files.read_bytes(seal).decode("ascii", "replace").strip()
        if not _SHA256.fullmatch(sealed):
            raise LookalikeError(
                f"{seal} is damaged: the generation {name} cannot be checked. Expected a SHA-256 in hexadecimal. "
                f"Received: {sealed[:80]!r}"
            )
        return read_generation(root, name, sealed, SEAL)
    # Another may be published between the two steps.
    if served_name(root) == name and (generation := read_current(root)).name == name:
        return generation
    return read_generation(root, name)


def show(root: str, name: str | None = None) -> Generation:
    """The manifest of a generation; of the one that is served if no name is given.

    Raises:
        LookalikeError: if there is no such generation, or its manifest is damaged.
    """
    if name is None:
        return read_current(root)
    known = names(root)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1) or known[-1:]
        hint = f"did you mean {near[0]}?" if near else "the store has none"
        raise LookalikeError(f"Expected the name of a generation. Received: {name}; {hint}")
    return read(root, name)


def served_notes(root: str, generation: Generation) -> Sequence[EmbeddedShard]:
    """The note of every image shard of a generation, in the order of the corpus.

    Raises:
        LookalikeError: if their table is not there, or damaged.
    """
    if not isinstance(generation.shards, ShardsRef):
        return generation.shards
    path = files.join(generation_folder(root, generation.name), SHARDS)
    try:
        found = files.sha256(path)
        if found != generation.shards.sha256:
            raise LookalikeError(
                f"{path} is damaged. Expected SHA-256 {generation.shards.sha256}. Received: {found}"
            )
        with files.open_read(path) as file:
            return read_note_table(file, path)[0]
    except OSError as error:
        raise LookalikeError(f"{path} cannot be read: {files.reason(error)}") from None


def read_index(root: str, ref: IndexRef) -> IndexManifest:
    """The manifest of an index shard of a generation, checked against the digest in `ref`.

    Raises:
        LookalikeError: if it is not there, or damaged.
    """
    path = files.join(root, ref.path, index_manifest.MANIFEST)
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise LookalikeError(f"{path} cannot be read: {files.reason(error)}") from None
    files.check_digest(path, data, ref.manifest_sha256)
    return index_manifest.parse_manifest(data, path)


def rollback(root: str, to: str | None = None) -> Generation:
    """Serves another generation again, in one step, once all of its index is seen to be there.

    Only `CURRENT` changes. Exclusions still apply: they belong to the store, not to a generation. The next run
    takes the generation that is served then as the one before it. Call it under `lock.hold`.

    Args:
        root: folder of the store.
        to: name of the generation; None for the one that was served before the current one.

    Returns:
        What is served now.

    Raises:
        LookalikeError: if there is no such generation, it is served already (and `CURRENT` not damaged), or it is
            not whole.
        OSError: if `CURRENT` cannot be written; what was served before still is.
    """
    if to is None:
        current = read_current(root)
        to = current.previous
        if to not in names(root):
            known = ", ".join(name for name in names(root) if name != current.name)
            raise LookalikeError(
                f"Expected a generation before {current.name} to go back to. Received: "
                f"{f'{to}, which has been pruned' if to else 'none, it is the first'}"
                + (f"; name one of {known}" if known else "")
            )
    elif to == served_name(root) and _is_readable(root):
        raise LookalikeError(f"The generation {to} is served already")
    generation = show(root, to)
    for ref in generation.indexes:
        _check_whole(root, ref)
    sha256 = files.sha256(files.join(generation_folder(root, to), MANIFEST))
    files.write_bytes(files.join(root, CURRENT), f"{to} {sha256}\n".encode())
    return read_current(root)


def _is_readable(root: str) -> bool:
    try:
        read_current(root)
    except LookalikeError:
        return False
    return True


def _check_whole(root: str, ref: IndexRef) -> None:
    expected = {name: digest.size for name, digest in read_index(root, ref).files.items()}
    found = {os.path.basename(file.path): file.size for file in files.list_files(files.join(root, ref.path))}
    for name, size in expected.items():
        if found.get(name) != size:
            received = f"{found[name]} bytes" if name in found else "none"
            raise LookalikeError(
                f"Index shard {ref.path}: expected {name} of {size} bytes. Received: {received}"
            )


@contextlib.contextmanager
def reading(root: str, name: str | None = None) -> Iterator[Generation]:
    """Opens a generation, and keeps `prune` from deleting it while the block runs, whoever publishes meanwhile.

    On a local store this is a shared kernel lock on the manifest, which needs no permission to write and ends
    with the process. For a URL it is time: `prune` deletes files an hour after the manifest that named them
    is gone, and an opener copies them to its own disk within that (`cache.local_copy`).

    Args:
        root: folder of the store.
        name: of the generation; None for the one that is served, also if that changes in this moment.

    Raises:
        LookalikeError: if nothing is published, or the manifest is gone or damaged.
    """
    with contextlib.ExitStack() as held:
        yield _open(root, name, held)


def _open(root: str, name: str | None, held: contextlib.ExitStack) -> Generation:
    gone = None
    while True:
        wanted = name or read_current(root).name
        path = files.join(generation_folder(root, wanted), MANIFEST)
        try:
            if not files.is_remote(path):
                held.enter_context(flocked(path, fcntl.LOCK_SH, os.O_RDONLY))
        except FileNotFoundError:
            # Pruned between the two steps, after another was published: that one is to be opened.
            if name is None and wanted != gone:
                gone = wanted
                continue
        except OSError as error:
            # Where no file can be locked, `hold` refuses every writer, and so nothing is pruned.
            if error.errno not in NO_LOCKS:
                raise
        return read(root, wanted)
