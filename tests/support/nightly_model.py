"""What must be true of a store after a sequence of nightly runs, in dictionaries: no file is read here.

A picture is a number; one below zero does not decode. The corpus is image shards of records, the store is notes
(an embedding file each) and generations. `Model.run` says what a run must do: publish or not, which pictures meet
the encoder, which generations and embedding files are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from lookalike.filesystem.files import FileInfo
from lookalike.sources import Shard
from lookalike.sources.tfrecord import Example, frame

UNNAMED = "~"
"""Name of a generation until the store tells it: sorts behind all others, as a new one must."""


@dataclass(frozen=True)
class Record:
    """One record of a TFRecord shard. `flaw` is `checksum` (unreadable) or `misfit` (metadata of another type)."""

    item_id: str
    picture: int
    number: int = 0
    flaw: str = ""


def image(picture: int) -> bytes:
    """The bytes that stand for a picture."""
    return f"picture {picture}".encode()


@lru_cache(maxsize=4096)
def framed(record: Record) -> bytes:
    """A record as it stands in the file."""
    example = Example()
    feature = example.features.feature
    feature["id"].bytes_list.value.append(record.item_id.encode())
    feature["image/encoded"].bytes_list.value.append(image(record.picture))
    if record.flaw == "misfit":
        feature["number"].bytes_list.value.append(b"many")
    else:
        feature["number"].int64_list.value.append(record.number)
    data = frame(example.SerializeToString(deterministic=True))
    if record.flaw == "checksum":
        data = data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]
    return data


@dataclass(frozen=True)
class ImageShard:
    """A TFRecord file: its records, whether it is cut in the last of them, and when it was changed (ns)."""

    records: tuple[Record, ...]
    cut: bool
    modified: int

    @cached_property
    def data(self) -> bytes:
        """The file's content."""
        data = b"".join(map(framed, self.records))
        return data[: -len(framed(self.records[-1])) // 2] if self.cut and self.records else data

    def token(self, name: str) -> str:
        """What a note keeps, to see that the file has not changed."""
        return Shard(name, "tfrecord", (FileInfo(name, len(self.data), str(self.modified)),)).token

    @cached_property
    def reading(self) -> Reading:
        """What reading the file must give."""
        content: list[Any] = []
        tried: list[int] = []
        rows: dict[str, tuple[int, int]] = {}
        seen: set[str] = set()
        rejected = duplicates = offset = 0
        damaged = self.cut or not self.records
        for record in self.records[:-1] if damaged else self.records:
            if record.flaw:
                rejected += 1
                # Of an unreadable record only its place is known.
                content.append(offset if record.flaw == "checksum" else (record.item_id, record.flaw))
            else:
                content.append(record)
                if record.item_id in seen:
                    duplicates += 1
                else:
                    seen.add(record.item_id)
                    tried.append(record.picture)
                    if record.picture < 0:
                        rejected += 1
                    else:
                        rows[record.item_id] = (record.picture, record.number)
            offset += len(framed(record))
        if damaged:
            content.append(
                ("damaged", offset, len(self.data), self.records and len(framed(self.records[-1])))
            )
            rejected += 1
        return Reading(tuple(content), len(content), rejected, duplicates, tuple(tried), rows, damaged)


@dataclass(frozen=True)
class Reading:
    """What is in a shard.

    Attributes:
        content: equal for shards whose embedding files must be equal.
        read, rejected, duplicates: numbers of records.
        tried: pictures that must meet the encoder unless their vector is known.
        rows: id -> picture and number of what gets a vector, in order.
        damaged: whether reading ended early.
    """

    content: tuple[Any, ...]
    read: int
    rejected: int
    duplicates: int
    tried: tuple[int, ...]
    rows: Mapping[str, tuple[int, int]]
    damaged: bool


NoteKey = tuple[int, str, tuple[Any, ...]]
"""Encoder, name of the shard, content: what an embedding file is made from."""


@dataclass(frozen=True)
class Note:
    """A finished embedding file: the token of its shard, its pictures, the run that wrote it, whether it is whole."""

    token: str
    pictures: frozenset[int]
    run: int
    whole: bool = True


@dataclass(frozen=True)
class Published:
    """A generation.

    Attributes:
        items: id -> picture and number of what is served.
        encoder: whose vectors these are.
        made_from: equal for generations that serve the same.
        notes: the embedding files it names.
        previous: the generation that was served before.
        run: that published it.
    """

    items: Mapping[str, tuple[int, int]]
    encoder: int
    made_from: Any
    notes: frozenset[NoteKey]
    previous: str | None
    run: int


@dataclass(frozen=True)
class Expected:
    """How a run must end: the outcome of its report, its counts, and the pictures that meet the encoder."""

    outcome: str
    pictures: int = 0
    records: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """The keys of the job file that the model depends on."""

    trust: str = "metadata"
    metric: str = "cosine"
    max_reject_fraction: float = 0.4
    max_shrink_fraction: float = 0.5
    allow_damaged_shards: bool = False
    generations: int = 3
    shard_vectors: int = 1000
    digests: str = "all"
    grow: float = 0.1


@dataclass
class Model:
    """The corpus and the store.

    Attributes:
        settings: of the job.
        shards: file name -> shard.
        encoder: number of the encoder in use.
        excluded: ids that are taken down.
        notes: the embedding files that are there.
        generations: name -> generation.
        current: name of the one that is served.
        buried: folder of a generation that is published no more, or was not yet -> what it named.
        runs: number of runs so far.
        old: files of this run and earlier ones are days old.
    """

    settings: Settings
    shards: dict[str, ImageShard] = field(default_factory=dict)
    encoder: int = 0
    excluded: frozenset[str] = frozenset()
    notes: dict[NoteKey, Note] = field(default_factory=dict)
    generations: dict[str, Published] = field(default_factory=dict)
    current: str | None = None
    buried: dict[str, frozenset[NoteKey]] = field(default_factory=dict)
    runs: int = 0
    old: int = -1

    def copy(self) -> Model:
        """A model that changes by itself."""
        return replace(
            self,
            shards=dict(self.shards),
            notes=dict(self.notes),
            generations=dict(self.generations),
            buried=dict(self.buried),
        )

    @property
    def served(self) -> Published | None:
        return self.generations[self.current] if self.current else None

    def answers(self) -> dict[str, tuple[int, int]]:
        """Id -> picture and number of what a query may return."""
        items = self.served.items if self.served else {}
        return {item_id: item for item_id, item in items.items() if item_id not in self.excluded}

    def token(self, name: str) -> str:
        return self.shards[name].token(name)

    def notes_at(self, at: tuple[int, str, str]) -> dict[NoteKey, Note]:
        """The note of this encoder, shard and token."""
        return {key: note for key, note in self.notes.items() if (*key[:2], note.token) == at}

    def keys(self) -> dict[str, NoteKey]:
        """Name of each shard, in order -> what its embedding file is made from."""
        return {name: (self.encoder, name, self.shards[name].reading.content) for name in sorted(self.shards)}

    def run(self, index_is_whole: bool = True) -> Expected:
        """A nightly run. A new generation is called `UNNAMED`."""
        if not self.shards:
            return Expected("failed")
        expected = self.embed()
        outcome = self._publish(index_is_whole)
        keep = self.settings.generations
        if outcome == "published" or (
            outcome == "unchanged" and len(self.generations) + len(self.buried) > keep
        ):
            self.prune(keep)
        return replace(expected, outcome=outcome)

    def embed(self) -> Expected:
        """The first half of a run, which stays if the second fails."""
        self.runs += 1
        pictures = embedded = 0
        known = self._known()
        for name, key in self.keys().items():
            if self.settings.trust == "metadata" and self._is_finished(name):
                continue
            reading = self.shards[name].reading
            if not self._stands(key):
                met = [picture for picture in reading.tried if picture not in known]
                pictures += len(met)
                embedded += sum(picture >= 0 for picture in met)
            held = frozenset(picture for picture, _ in reading.rows.values())
            self.notes[key] = Note(self.token(name), held, self.runs)
        readings = [shard.reading for shard in self.shards.values()]
        records = {
            kind: sum(getattr(r, kind) for r in readings) for kind in ("read", "rejected", "duplicates")
        }
        reused = sum(len(reading.rows) for reading in readings) - embedded
        return Expected("failed", pictures, {**records, "embedded": embedded, "reused": reused})

    def _is_finished(self, name: str) -> bool:
        token = self.token(name)
        return any(k[:2] == (self.encoder, name) and note.token == token for k, note in self.notes.items())

    def _stands(self, key: NoteKey) -> bool:
        """Whether just this content is embedded already under this name."""
        return key in self.notes and self.notes[key].whole

    def _known(self) -> frozenset[int]:
        """The pictures in all embedding files of the encoder."""
        notes = [note for key, note in self.notes.items() if key[0] == self.encoder and note.whole]
        return frozenset().union(*(note.pictures for note in notes))

    def _publish(self, index_is_whole: bool) -> str:
        keys = self.keys()
        made_from = (tuple(keys.values()), self.excluded)
        if self.served and self.served.made_from == made_from and index_is_whole:
            return "unchanged"
        readings = [self.shards[name].reading for name in keys]
        items: dict[str, tuple[int, int]] = {}
        for reading in readings:
            items = {**reading.rows, **items}  # the first shard's record is served
        items = {item_id: item for item_id, item in items.items() if item_id not in self.excluded}
        rejected = sum(r.rejected for r in readings) / max(1, sum(r.read for r in readings))
        least = len(self.served.items) * (1 - self.settings.max_shrink_fraction) if self.served else 0
        if (
            (any(r.damaged for r in readings) and not self.settings.allow_damaged_shards)
            or not items
            or rejected > self.settings.max_reject_fraction
            or len(items) < least
        ):
            return "gate failed"
        self.generations[UNNAMED] = Published(
            items, self.encoder, made_from, frozenset(keys.values()), self.current, self.runs
        )
        self.current = UNNAMED
        return "published"

    def name_new(self, name: str) -> None:
        """Calls the new generation what the store calls it."""
        self.generations[name] = self.generations.pop(UNNAMED)
        self.current = name if self.current == UNNAMED else self.current

    def prune(self, keep: int) -> None:
        """Deletes all generations but the newest `keep` and the one that is served."""
        kept = {*sorted(self.generations)[-keep:], self.current}
        doomed = [self.generations.pop(name) for name in list(self.generations) if name not in kept]
        condemned = _united([*(generation.notes for generation in doomed), *self.buried.values()])
        self.buried = {}
        wanted = _united(generation.notes for generation in self.generations.values())
        newest = max((generation.run for generation in self.generations.values()), default=-1)
        for key in self.notes.keys() - wanted:
            if key in condemned or self.notes[key].run <= min(self.old, newest):
                del self.notes[key]

    def roll_back(self, to: str | None = None) -> bool:
        """Serves another generation; returns whether that is possible."""
        target = to or (self.served.previous if self.served else None)
        if target not in self.generations or target == self.current:
            return False
        self.current = target
        return True


def _united(sets: Iterable[frozenset[NoteKey]]) -> set[NoteKey]:
    return set().union(*sets)
