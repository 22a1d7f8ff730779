"""The passes over embedding files, on whatever runner, and in one night after the other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.index import ids as ids_module
from lookalike.index.checks import Checks, find_left_out, keep, read_ids
from lookalike.index.duplicates import LeftOut, left_out
from lookalike.model.errors import LookalikeError
from lookalike.runner import beam
from lookalike.store import kept, splits
from lookalike.store.notes import EmbeddedShard
from lookalike.store.splits import KEYS, keys_of
from tests.pipelines.index.test_duplicates import expected
from tests.support.small_stores import ENCODER, SmallStore, a_note, flip, write_ids


@pytest.fixture
def store(tmp_path) -> SmallStore:
    return SmallStore(tmp_path / "store")


@pytest.mark.parametrize(
    ("most", "part", "flags"), [(1, 4_000_000, []), (3, 2, []), (3, 2, ["--runner=FnApiRunner"])]
)
def test_the_passes_find_the_same_here_and_by_beam_and_in_the_next_night(
    store, monkeypatch, flags, most, part
):
    monkeypatch.setattr(splits, "PART", part)
    monkeypatch.setattr(beam, "most_pieces", lambda flags: most)
    notes = [store.embed(shard) for shard in ("a0", "b0", "c0")]
    notes += [replace(notes[number], shard=f"{number}.tar") for number in (1, 0)]
    for night in range(2):
        checks = Checks(store.path, ENCODER, f"{store.path}/runs/{night}", 10, night == 0, flags)
        read = read_ids(checks, notes, notes)
        assert (read.damaged, read.shards) == ((), 5)
        assert "width" in read.carried
        folder = find_left_out(checks, read, pa.array(["a0-1", "c0-0", "none"]))
        assert list(left_out(folder)) == [
            LeftOut(0, "a0-1", None, True),
            LeftOut(2, "c0-0", None, True),
            LeftOut(3, "b0-0", 1, False),
            LeftOut(3, "b0-1", 1, False),
            LeftOut(4, "a0-0", 0, False),
            LeftOut(4, "a0-1", 0, True),
        ]
        kept.replace_rows(store.path, ENCODER, keep(checks, read))


@pytest.mark.parametrize("flags", [[], ["--runner=FnApiRunner"]])
def test_a_worker_that_cannot_read_says_so_in_a_sentence(store, flags):
    note = store.embed("a0")
    (store.root / note.path).unlink()
    checks = Checks(store.path, ENCODER, f"{store.path}/runs/r", 2, True, flags)
    with pytest.raises(LookalikeError, match=f"No such file or directory: .*{note.path}"):
        read_ids(checks, [note], [])


class Nights:
    """A store of embedding files of nothing but ids, and the passes over them in one night after the other."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, str(root)
        (root / "embeddings").mkdir(parents=True)
        (root / "rejects").touch()
        self.stored: dict[str, EmbeddedShard] = {}
        self.opened: list[str] = []
        self.night = 0
        self.encoder = ENCODER

    def embed(self, shard: str, ids: Sequence[str]) -> EmbeddedShard:
        """The embedding file of these ids, which is called by them."""
        path = f"embeddings/{shard}-{hashlib.sha256(repr(ids).encode()).hexdigest()[:16]}.parquet"
        if path not in self.stored:
            write_ids(self.root / path, ids)
            sha256, nothing = files.sha256(str(self.root / path)), files.sha256(str(self.root / "rejects"))
            own = {"sha256": sha256, "rejects_path": "rejects", "rejects_sha256": nothing}
            self.stored[path] = a_note(shard=shard, path=path, **own, embedded=len(ids))
        return self.stored[path]

    def run(self, corpus: Sequence[Sequence[str]], taken_down: Iterable[str] = (), again: bool = False):
        """The passes over a corpus of shards of ids; gives what is left out, and how many files were opened."""
        self.night += 1
        notes = [self.embed(f"s{number}", ids) for number, ids in enumerate(corpus)]
        vectors = sum(note.embedded for note in notes)
        checks = Checks(self.store, self.encoder, f"{self.store}/runs/{self.night}", vectors, again)
        opened = []
        with pytest.MonkeyPatch.context() as patch:
            real = ids_module.open_whole
            patch.setattr(
                ids_module, "open_whole", lambda path, sha256: opened.append(path) or real(path, sha256)
            )
            read = read_ids(checks, notes, self.stored.values())
        assert read.damaged == ()
        assert set(read.carried) == {"item_id", "content_hash", "width", "height"}
        folder = find_left_out(checks, read, pa.array(sorted(taken_down), pa.string()))
        kept.replace_rows(self.store, self.encoder, keep(checks, read))
        return list(left_out(folder)), len(opened)

    def keys(self, notes: Sequence[EmbeddedShard], parts: int) -> list[tuple[int, int, int]]:
        """Number of a file, row and key, of all that is kept of some files."""
        table = kept.read_table(self.store, self.encoder)
        rows = table.rows_of(notes)
        numbers = np.full(len(table), -1, "<i4")
        numbers[rows] = np.arange(len(rows))
        (self.root / "numbers").write_bytes(numbers.tobytes())
        parts_of = kept.parts_of(self.store, self.encoder, table, str(self.root / "numbers"))
        found = [rows for part in range(parts) for rows in parts_of.rows(KEYS, part, parts)]
        return sorted((row["file"], row["row"], row["key"]) for rows in found for row in rows.to_pylist())


@pytest.fixture
def nights(tmp_path) -> Nights:
    return Nights(tmp_path / "store")


RAM = "/dev/shm" if os.path.isdir("/dev/shm") else None
IDS = st.lists(st.sampled_from("abcdefghij"), max_size=4, unique=True).map(tuple)
CORPUS = st.lists(IDS, min_size=1, max_size=5)
NIGHT = st.fixed_dictionaries(
    {
        "corpus": CORPUS,
        "taken_down": st.sets(st.sampled_from("abcdefghij"), max_size=3),
        "again": st.sampled_from([False, False, False, True]),
        "part": st.sampled_from([3, 6, 1000]),
        "then": st.sampled_from(["", "", "", "damage", "lose", "prune", "die", "other encoder"]),
        "pick": st.integers(0, 999),
    }
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.lists(NIGHT, min_size=2, max_size=6))
def test_in_whatever_nights_what_is_left_out_is_that_of_a_store_in_which_nothing_is_kept(
    tmp_path_factory, data
):
    """Shards come, go, change their order, their content and back; files of the store are damaged, lost and deleted."""
    nights = Nights(tmp_path_factory.mktemp("nights") / "store")
    for night in data:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(splits, "PART", night["part"])
            found, opened = nights.run(night["corpus"], night["taken_down"], night["again"])
            assert found == expected(night["corpus"], night["taken_down"])
            assert opened == len(night["corpus"]) or not night["again"]
            # A night in which a worker dies leaves rows behind, of no table.
            if night["then"] == "die":
                patch.setattr(kept, "replace_rows", lambda *_: None)
                nights.run([*night["corpus"], ("z",)], (), False)
        notes = [nights.embed(f"s{number}", ids) for number, ids in enumerate(night["corpus"])]
        keys = [
            (file, row, int(keys_of(np.array([hashlib.sha256(item_id.encode()).hexdigest()], "S64"))[0]))
            for file, ids in enumerate(night["corpus"])
            for row, item_id in enumerate(ids)
        ]
        assert nights.keys(notes, 1 << night["pick"] % 4) == keys
        held = sorted(path for path in nights.root.glob("kept/**/*") if path.is_file())
        if night["then"] == "damage":
            path = held[night["pick"] % len(held)]
            flip(path, night["pick"] % path.stat().st_size)
        elif night["then"] == "lose":
            held[night["pick"] % len(held)].unlink()
        elif night["then"] == "prune":
            gone = [path for path, note in nights.stored.items() if note not in notes]
            for path in gone:
                del nights.stored[path]
        elif night["then"] == "other encoder":
            nights.encoder = "f" * 64 if nights.encoder == ENCODER else ENCODER


def test_only_what_is_new_is_opened_and_what_left_is_known_when_it_comes_back(nights):
    a, b, c, d = ("a", "x"), ("b", "x"), ("c",), ("d", "x")
    assert nights.run([a, b, c])[1] == 3
    assert nights.run([a, b, c]) == ([LeftOut(1, "x", 0, False)], 0)
    assert nights.run([a, d, c]) == ([LeftOut(1, "x", 0, False)], 1)
    assert nights.run([a, b, c], {"c"}) == ([LeftOut(1, "x", 0, False), LeftOut(2, "c", None, True)], 0)
    assert nights.run([a, b, c])[1] == 0
    assert nights.run([a, d, c], again=True)[1] == 3
    assert nights.run([a, b, c])[1] == 0
    assert nights.run([b, a, c])[1] == 2, "a shard's name is in its file's"


def test_a_field_has_values_only_as_long_as_a_shard_has_them(nights, monkeypatch):
    real = ids_module.with_values
    with monkeypatch.context() as patch:
        patch.setattr(ids_module, "with_values", lambda *a: real(*a) | {"title"})
        note = nights.embed("s0", ("a",))
        checks = Checks(nights.store, ENCODER, f"{nights.store}/runs/0", 1)
        read = read_ids(checks, [note], [note])
        kept.replace_rows(nights.store, ENCODER, keep(checks, read))
    other = nights.embed("s1", ("b",))
    for number, (corpus, has) in enumerate((([note, other], True), ([other], False), ([note], True))):
        checks = Checks(nights.store, ENCODER, f"{nights.store}/runs/{number + 1}", 2, False)
        read = read_ids(checks, corpus, [note, other])
        assert ("title" in read.carried) == has
        kept.replace_rows(nights.store, ENCODER, keep(checks, read))


def test_a_damaged_file_is_not_kept_and_one_that_is_known_is_not_looked_at(nights):
    known, new = nights.embed("s0", ("a",)), nights.embed("s1", ("b",))
    nights.run([("a",)])
    for note in (known, new):
        flip(nights.root / note.path, 40)
    checks = Checks(nights.store, ENCODER, f"{nights.store}/runs/x", 2, False)
    assert read_ids(checks, [known, new], []).damaged == (new.path,)
    checks = replace(checks, again=True, run_folder=f"{nights.store}/runs/y")
    assert read_ids(checks, [known, new], []).damaged == (known.path, new.path)
