"""Generations: what a run publishes, and the one small file that says which of them is served.

    CURRENT                        name of the generation that queries use, and its manifest's SHA-256
    generations/NAME/manifest.json what the generation is made of
    generations/NAME/shards.parquet the note of every image shard (see `note_table`), of which a query has no need
    generations/NAME/duplicates.parquet
    embeddings/ENCODER/            embedding files, rejects, notes (see `notes`)
    indexes/KEY/                   index shards (see `index_manifest`)
    encoders/FINGERPRINT/          encoders (see `encoders`)
    standing/NAME/                 answers to standing queries, and what changed in them

Nothing that a manifest names is ever modified. Only `CURRENT` is replaced, in one step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import pydantic

from lookalike.model.encoder.post_processing import DatabaseAugmentation
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from .note_table import NoteTable
from .notes import EmbeddedShard

FORMAT: Literal[3] = 3
"""Of the manifests that are written. Those of the first format hold the notes of all image shards themselves; in those
before the third no index shard has hidden rows."""
CURRENT = "CURRENT"
SHARDS = "shards.parquet"
_NAMED = re.compile(r"(\w[\w-]*) ([0-9a-f]{64})\s*")


@dataclass(frozen=True)
class HiddenRows:
    """The items of an index shard that are no longer served.

    Attributes:
        path: of the file that tells their rows, relative to the store; see `hidden.read_hidden`.
        sha256: of that file.
        count: how many.
    """

    path: str
    sha256: str
    count: int


@dataclass(frozen=True)
class IndexRef:
    """An index shard of a generation.

    Attributes:
        path: its folder, relative to the store.
        manifest_sha256: of its manifest, which holds the digests of all its other files.
        count: items of it that are served.
        algorithm: `brute_force`, `ah`, `tree` or `flat_tree`.
        recall: lowest recall of its search settings, of every k and kind of query; 1.0 for exact search.
        recalls: kind of query (see `index/trials.py`) -> the lowest recall at any k; empty for exact search.
        best_approximate: what nothing but exact search surpassed, where the target asked for more; else None.
        hidden: those of its items that are not served; None for none. Its recalls are then those of it and of its
            addition together.
        added_to: of an addition, the path of the index shard that it stands beside; else None.
        decided_by: digest of what decided it besides its embedding files; None where that is not known, and of an
            addition.
    """

    path: str
    manifest_sha256: str
    count: int
    algorithm: str
    recall: float | None
    recalls: Mapping[str, float] = field(default_factory=dict)
    best_approximate: float | None = None
    hidden: HiddenRows | None = None
    added_to: str | None = None
    decided_by: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> IndexRef:
        """What `dataclasses.asdict` made a dictionary of."""
        return cls(**{**data, "hidden": data["hidden"] and HiddenRows(**data["hidden"])})

    @property
    def key(self) -> tuple[str, str | None]:
        """What it serves: two with the same key give the same answers."""
        return self.path, self.hidden.sha256 if self.hidden else None


@dataclass(frozen=True)
class ShardsRef:
    """The table of a generation's image shards.

    Attributes:
        sha256: of the file.
        count: shards in it.
    """

    sha256: str
    count: int


@dataclass(frozen=True)
class Generation:
    """All that one run published.

    Attributes:
        format: version of this layout.
        name: time of publication in UTC and a few digits of what it holds; sorts by time.
        created: time of publication, ISO 8601 in UTC.
        encoder: fingerprint of the encoder.
        encoder_name: its name.
        dim: length of a vector.
        metric: `cosine` or `euclidean`.
        metadata: fields carried through, name -> type.
        counts: records read, embedded, reused, rejected, duplicates (in and between shards), and items served.
        shards: the table of its image shards; in the first format their notes. See `generations.served_notes`.
        duplicates: ids that occur in more than one shard; the first shard's is served.
        indexes: the index shards, each with its addition behind it, if it has one.
        previous: name of the generation that was served before; None for the first.
        excluded: records left out because their id was taken down.
        made_from: digest of everything that decides what is served; a run that would make the same does
            nothing.
        augmentation: what was done to the vectors of the items; None for nothing.
    """

    format: Literal[1, 2, 3]
    name: str
    created: str
    encoder: str
    encoder_name: str
    dim: int
    metric: Literal["cosine", "euclidean"]
    metadata: Mapping[str, str]
    counts: Mapping[str, int]
    shards: ShardsRef | tuple[EmbeddedShard, ...]
    duplicates: int
    indexes: tuple[IndexRef, ...]
    previous: str | None
    excluded: int = 0
    made_from: str = ""
    augmentation: DatabaseAugmentation | None = None

    @property
    def shard_count(self) -> int:
        """Number of its image shards."""
        return self.shards.count if isinstance(self.shards, ShardsRef) else len(self.shards)

    @property
    def index_shards(self) -> tuple[IndexRef, ...]:
        """The index shards without their additions."""
        return tuple(ref for ref in self.indexes if ref.added_to is None)


_GENERATION = pydantic.TypeAdapter(Generation)


_TIME = "%Y%m%dT%H%M%SZ"


def generation_name(now: datetime, content: str, previous: str | None = None) -> str:
    """The name of a generation that sorts behind `previous` even if the clock went backwards.

    Args:
        now: time of publication.
        content: digest of what it holds.
        previous: name of the newest generation that is there; not always the one that is served.
    """
    stamp = f"{now.astimezone(timezone.utc):{_TIME}}"
    if previous is not None and stamp <= previous[: len(stamp)]:
        last = datetime.strptime(previous.partition("-")[0], _TIME)
        stamp = f"{last + timedelta(seconds=1):{_TIME}}"
    return f"{stamp}-{content[:8]}"


def generation_folder(store: str, name: str) -> str:
    """Where a generation's own files are."""
    return files.join(store, "generations", name)


def current_name(store: str) -> str | None:
    """The name of the generation that is served; None if nothing was published yet.

    Raises:
        LookalikeError: if `CURRENT` cannot be read as such.
    """
    named = _current(store)
    return named[0] if named else None


def _current(store: str) -> tuple[str, str] | None:
    path = files.join(store, CURRENT)
    if not files.exists(path):
        return None
    text = files.read_bytes(path).decode("utf-8", "replace")
    named = _NAMED.fullmatch(text)
    if not named:
        raise LookalikeError(f"Expected a generation's name and digest in {path}. Received: {text[:200]!r}")
    return named[1], named[2]


def read_current(store: str) -> Generation:
    """The generation that is served, its manifest checked against the digest in `CURRENT`.

    Raises:
        LookalikeError: if nothing was published, or the manifest is damaged.
    """
    named = _current(store)
    if named is None:
        raise LookalikeError(
            f"Nothing has been published in the store {store}, as {CURRENT} is not there: run `lookalike nightly` or "
            "`lookalike index`, or serve one of `lookalike generations list` by `lookalike generations rollback --to`"
        )
    name, sha256 = named
    return read_generation(store, name, sha256)


def read_generation(store: str, name: str, sha256: str | None = None, told_by: str = CURRENT) -> Generation:
    """Reads a generation's manifest.

    Args:
        store: folder of the store.
        name: of the generation.
        sha256: what its digest should be; None if that is not known.
        told_by: the file that says so, for the sentence.

    Raises:
        LookalikeError: if there is none, or it differs from the digest, or is not of this format.
    """
    path = files.join(generation_folder(store, name), "manifest.json")
    try:
        data = files.read_bytes(path)
    except OSError as error:
        named = f", which {told_by} names," if sha256 is not None and told_by == CURRENT else ""
        raise LookalikeError(f"The generation {name}{named} cannot be read: {files.reason(error)}") from None
    found = files.sha256_bytes(data)
    if sha256 is not None and found != sha256:
        raise LookalikeError(
            f"{path} is damaged. Expected SHA-256 {sha256}, as {told_by} says. Received: {found}"
        )
    try:
        return _GENERATION.validate_json(data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise LookalikeError(f"{path} is no manifest of format {FORMAT}: {where}: {first['msg']}") from None


def write_shards(store: str, name: str, notes: Sequence[EmbeddedShard]) -> ShardsRef:
    """Writes the table of a generation that is to be published. Raises OSError."""
    path = files.join(generation_folder(store, name), SHARDS)
    with files.write_atomic(path) as file:
        NoteTable.of(notes).write(file)
    return ShardsRef(files.sha256(path), len(notes))


def publish(store: str, generation: Generation) -> None:
    """Writes the manifest, then makes `CURRENT` name it: from then on queries use it.

    Raises:
        OSError: if the store cannot be written; what was served before still is.
    """
    data = _GENERATION.dump_json(generation, indent=1) + b"\n"
    sha256 = files.sha256_bytes(data)
    folder = generation_folder(store, generation.name)
    # The seal first: a manifest without one could not be told from a damaged one later.
    files.write_bytes(files.join(folder, "manifest.sha256"), f"{sha256}\n".encode())
    files.write_bytes(files.join(folder, "manifest.json"), data)
    files.write_bytes(files.join(store, CURRENT), f"{generation.name} {sha256}\n".encode())
