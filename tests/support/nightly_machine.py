"""Random sequences of what happens to a corpus and a store, each step compared with `nightly_model`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from lookalike.model.errors import LookalikeError
from lookalike.nightly.run import nightly
from lookalike.store import exclusions
from lookalike.store.verify import verify
from tests.support.nightly_model import ImageShard, Record, Settings
from tests.support.nightly_store import CORPUS, STORE, Nights

NAMES = [f"{letter}.tfrecord" for letter in "abcd"]
IDS = [f"i{number}" for number in range(9)]
PICTURES = 12
TWO_DAYS = 2 * 86_400 * 10**9

picks = st.integers(0, 999)
ids = st.sampled_from(IDS)
pictures = st.integers(0, PICTURES - 1)
numbers = st.integers(0, 2)
records = st.builds(Record, ids, pictures, numbers)
settings = st.builds(
    Settings,
    trust=st.sampled_from(["metadata", "metadata", "content"]),
    metric=st.sampled_from(["cosine", "euclidean"]),
    allow_damaged_shards=st.booleans(),
    generations=st.sampled_from([1, 2, 3]),
    shard_vectors=st.sampled_from([1000, 3]),
    digests=st.sampled_from(["new", "new", "all"]),
    grow=st.sampled_from([0.0, 0.3, 1.0, 1.0]),
)


def corpus_rule(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that changes the corpus, if there is one; half of the time a run follows at once."""

    def decorate(function: Callable[..., None]) -> Any:
        @functools.wraps(function)
        def changed(self: NightlyMachine, then_run: bool, **values: Any) -> None:
            function(self, **values)
            if then_run:
                self.run()

        return precondition(lambda self: self.model.shards)(rule(**drawn, then_run=st.booleans())(changed))

    return decorate


class NightlyMachine(Nights):
    """Some nights of a small corpus."""

    @initialize(
        chosen=settings,
        shards=st.lists(st.lists(records, min_size=1, max_size=4), min_size=1, max_size=3),
    )
    def first_night(self, chosen: Settings, shards: list[list[Record]]) -> None:
        self.begin(chosen)
        for name, held in zip(NAMES, shards, strict=False):
            self.put(name, held)
        self.run()

    # The corpus changes.

    def shard(self, pick: int) -> tuple[str, ImageShard]:
        name = sorted(self.model.shards)[pick % len(self.model.shards)]
        return name, self.model.shards[name]

    def change(self, pick: int, place: int, changed: Callable[[Record], Record | None]) -> None:
        """Replaces a record of a shard, or takes it out."""
        name, shard = self.shard(pick)
        if held := list(shard.records):
            new = changed(held[place % len(held)])
            held[place % len(held)] = new  # type: ignore[call-overload]
            self.put(name, [record for record in held if record is not None], shard.cut)

    @precondition(lambda self: len(self.model.shards) < len(NAMES))
    @rule(pick=picks, held=st.lists(records, min_size=1, max_size=4))
    def add_shard(self, pick: int, held: list[Record]) -> None:
        free = [name for name in NAMES if name not in self.model.shards]
        self.put(free[pick % len(free)], held)

    @corpus_rule(pick=picks, record=records)
    def add_record(self, pick: int, record: Record) -> None:
        name, shard = self.shard(pick)
        self.put(name, (*shard.records, record), shard.cut)

    @corpus_rule(pick=picks, place=picks, picture=pictures)
    def change_image(self, pick: int, place: int, picture: int) -> None:
        self.change(pick, place, lambda r: Record(r.item_id, picture, r.number))

    @corpus_rule(pick=picks, place=picks, number=numbers)
    def change_metadata(self, pick: int, place: int, number: int) -> None:
        self.change(pick, place, lambda r: Record(r.item_id, r.picture, number))

    @corpus_rule(pick=picks, place=picks)
    def delete_record(self, pick: int, place: int) -> None:
        self.change(pick, place, lambda r: None)

    @corpus_rule(pick=picks)
    def delete_shard(self, pick: int) -> None:
        name, _ = self.shard(pick)
        (CORPUS / name).unlink()
        self.removed[name] = self.model.shards.pop(name)

    @precondition(lambda self: self.removed)
    @rule(pick=picks)
    def bring_back_a_shard_as_it_was(self, pick: int) -> None:
        name = sorted(self.removed)[pick % len(self.removed)]
        self.put_back(name, self.removed[name])

    @corpus_rule(source=picks, place=picks, into=picks, same_id=st.booleans(), item_id=ids)
    def duplicate(self, source: int, place: int, into: int, same_id: bool, item_id: str) -> None:
        """A record again, in its own shard or another, under its own id or another."""
        held = self.shard(source)[1].records
        name, shard = self.shard(into)
        if held:
            record = held[place % len(held)]
            copy = Record(record.item_id if same_id else item_id, record.picture, record.number)
            self.put(name, (*shard.records, copy), shard.cut)

    @corpus_rule(pick=picks, place=picks, how=st.sampled_from(["image", "checksum", "misfit"]))
    def corrupt_record(self, pick: int, place: int, how: str) -> None:
        if how == "image":
            self.change(pick, place, lambda r: Record(r.item_id, -1 - r.picture % PICTURES, r.number))
        else:
            self.change(pick, place, lambda r: Record(r.item_id, r.picture, r.number, how))

    @corpus_rule(pick=picks)
    def cut_shard(self, pick: int) -> None:
        name, shard = self.shard(pick)
        self.put(name, shard.records, cut=True)

    @corpus_rule()
    def mend_the_corpus(self) -> None:
        for name, shard in list(self.model.shards.items()):
            whole = [Record(r.item_id, r.picture % PICTURES, r.number) for r in shard.records]
            if shard.cut or tuple(whole) != shard.records:
                self.put(name, whole)

    @corpus_rule(pick=picks)
    def touch_shard(self, pick: int) -> None:
        name, shard = self.shard(pick)
        self.put(name, shard.records, shard.cut)

    @rule()
    def change_the_encoder(self) -> None:
        self.model.encoder = 1 - self.model.encoder

    # The commands.

    @rule()
    def run(self) -> None:
        self.expect(self.model.run())
        self.check()

    @rule()
    def run_twice(self) -> None:
        """The second one, at the latest, finds nothing to do."""
        first = self.model.run()
        self.expect(first)
        if first.outcome in ("published", "unchanged"):
            before = set(self.listed("**/*"))
            second = self.model.run()
            assert second.outcome == "unchanged"
            self.expect(second)
            assert {path for path in before ^ set(self.listed("**/*")) if "/reports/" not in path} == set()
        self.check()

    @rule(to=st.none() | picks)
    def roll_back(self, to: int | None) -> None:
        name = self.generation(to)
        possible = self.model.roll_back(name)
        assert possible == self.succeeds(lambda: self.do_roll_back(name))
        self.check()

    @rule(keep=st.integers(1, 3))
    def prune(self, keep: int) -> None:
        self.model.prune(keep)
        self.do_prune(keep)
        self.check()

    @rule(item_ids=st.lists(ids, min_size=1, max_size=3, unique=True))
    def exclude(self, item_ids: list[str]) -> None:
        self.model.excluded |= set(item_ids)
        exclusions.add(STORE, item_ids)
        self.check()

    @precondition(lambda self: self.model.excluded)
    @rule(pick=picks)
    def include(self, pick: int) -> None:
        item_id = sorted(self.model.excluded)[pick % len(self.model.excluded)]
        self.model.excluded -= {item_id}
        exclusions.remove(STORE, [item_id])
        self.check()

    @rule()
    def two_days_pass(self) -> None:
        for path in self.listed("**/*"):
            modified = os.stat(path).st_mtime_ns - TWO_DAYS
            os.utime(path, ns=(modified, modified))
        self.model.old = self.model.runs

    def generation(self, pick: int | None) -> str | None:
        names = sorted(self.model.generations)
        return None if pick is None or not names else names[pick % len(names)]

    # Commands that die.

    @rule(at=st.integers(1, 350))
    def run_dies(self, at: int) -> None:
        after = self.model.copy()
        after.run()
        self.dies(lambda: nightly(self.config), at, after)

    @rule(at=st.integers(1, 40))
    def run_dies_while_it_publishes(self, at: int) -> None:
        """A tenth of the file operations, and the ones that matter most."""
        after = self.model.copy()
        after.run()
        self.dies(lambda: nightly(self.config), at, after, ("generations", "CURRENT"))

    @rule(at=st.integers(1, 60), keep=st.integers(1, 3))
    def prune_dies(self, at: int, keep: int) -> None:
        after = self.model.copy()
        after.prune(keep)
        self.dies(lambda: self.do_prune(keep), at, after)

    @rule(at=st.integers(1, 12), to=st.none() | picks)
    def roll_back_dies(self, at: int, to: int | None) -> None:
        after = self.model.copy()
        after.roll_back(name := self.generation(to))
        self.dies(lambda: self.do_roll_back(name), at, after)

    @rule(at=st.integers(1, 10), item_id=ids)
    def exclude_dies(self, at: int, item_id: str) -> None:
        after = self.model.copy()
        after.excluded |= {item_id}
        self.dies(lambda: exclusions.add(STORE, [item_id]), at, after)

    # Files of the store are damaged or lost.

    @precondition(lambda self: self.model.current)
    @rule(
        kind=st.sampled_from(["embedding", "rejects", "index", "manifest", "CURRENT", "exclusions", "kept"]),
        pick=picks,
        place=st.integers(0, 2**16),
        bit=st.integers(0, 7),
    )
    def flip_a_bit(self, kind: str, pick: int, place: int, bit: int) -> None:
        path = self.file_of(kind, pick)
        if path is None:
            return
        content, times = path.read_bytes(), path.stat()
        # A flip in the newline behind CURRENT can give another white space.
        place %= len(content) - (kind == "CURRENT")
        flipped = content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        self.write_as_of(path, flipped, times)
        if kind != "exclusions":
            problems = verify(STORE)
            assert any(path.name in problem or kind == "CURRENT" for problem in problems)
        try:
            answers = self.answers()
        except (LookalikeError, OSError):
            assert kind not in ("embedding", "rejects")
        else:
            assert kind not in ("index", "manifest", "CURRENT")
            self.compare(answers)
        self.run_on_damage(kind, path)
        if path.exists() and path.read_bytes() == flipped:
            if kind == "CURRENT":
                self.do_roll_back(self.model.current)
            else:
                self.write_as_of(path, content, times)
        self.model.notes = {key: replace(note, whole=True) for key, note in self.model.notes.items()}
        self.unnamed_indexes |= self.indexes_on_disk() - self.named_indexes()
        self.check()

    @rule(kind=st.sampled_from(["embedding", "rejects", "note", "index"]), pick=picks)
    def lose_a_file(self, kind: str, pick: int) -> None:
        """What is lost is made again, to the byte."""
        first = self.model.run()
        self.expect(first)
        if first.outcome not in ("published", "unchanged"):
            return
        path = self.file_of(kind, pick)
        assert path is not None
        if kind != "index":
            note = path.parent.parent / path.name if kind == "rejects" else path
            for key in self.model.notes_at(self.note_at(note.with_suffix(".json"))):
                del self.model.notes[key]
        path.unlink()
        assert any(path.name in problem for problem in verify(STORE))
        assert self.succeeds(self.answers) == (kind != "index")
        self.expect(self.model.run(index_is_whole=kind != "index"))
        self.check()
