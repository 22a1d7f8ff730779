"""Ids that occur in several shards: the first is served, the others are listed. So are those that are taken down."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.index import duplicates
from lookalike.index.duplicates import (
    SCHEMA,
    FindLeftOut,
    LeftOut,
    left_out,
    write_duplicates,
    write_taken_down,
)
from lookalike.index.ids import ReadIds, StoredShard
from lookalike.sources.tfrecord import Example, frame
from lookalike.store.database import database
from lookalike.store.kept_parts import KeptParts
from tests.conftest import picture
from tests.support.small_stores import a_note, write_ids


def test_an_id_in_two_shards_is_served_from_the_first_and_listed(job):
    job.shards.mkdir()
    for shard, pictured in (("a", {"x": 1, "both": 2}), ("b", {"both": 3, "y": 4})):
        with open(job.shards / f"{shard}.tfrecord", "wb") as file:
            for name, seed in pictured.items():
                example = Example()
                example.features.feature["id"].bytes_list.value.append(name.encode())
                example.features.feature["image/encoded"].bytes_list.value.append(picture(seed))
                file.write(frame(example.SerializeToString()))
    done = job.nightly()
    assert "duplicates   1 ids occur in an earlier shard too" in done.out
    generation = job.generation
    assert generation["duplicates"] == 1
    assert (generation["counts"]["read"], generation["counts"]["items"]) == (4, 3)
    table = pq.read_table(job.store / "generations" / generation["name"] / "duplicates.parquet")
    assert table.to_pylist() == [{"item_id": "both", "shard": "b.tfrecord", "kept_shard": "a.tfrecord"}]
    assert job.query(job.query_file({"q.jpg": picture(2)})).code == 0
    assert sorted(job.results["item_id"].to_pylist()) == ["both", "x", "y"]
    assert job.results["item_id"][0].as_py() == "both"
    assert job.results["score"][0].as_py() == pytest.approx(1, abs=1e-6)


def test_a_corpus_of_many_duplicates_still_reconciles(job, pictures):
    """Two copies of every shard: each id is served once."""
    shards = job.pack(pictures)
    for shard in shards:
        shutil.copy(shard, shard.replace("shard-", "twin-"))
    job.nightly()
    generation = job.generation
    assert (generation["counts"]["read"], generation["counts"]["items"], generation["duplicates"]) == (
        48,
        24,
        24,
    )
    table = pq.read_table(job.store / "generations" / generation["name"] / "duplicates.parquet")
    assert len(set(table["item_id"].to_pylist())) == 24


class Case:
    """Embedding files of nothing but ids, and the passes over them, a piece and a part at a time.

    Args:
        root: an empty folder.
        shards: the ids of each, unique within it.
        parts: into how many parts ids are split.
        taken_down: ids.
    """

    def __init__(
        self, root: Path, shards: list[list[str]], parts: int = 1, taken_down: Iterable[str] = ()
    ) -> None:
        self.root, self.parts = root, parts
        self.shards = []
        for number, held in enumerate(shards):
            path = f"{number}.parquet"
            write_ids(root / path, held, row_group_size=3)
            sha256 = files.sha256(str(root / path))
            self.shards.append(StoredShard(number, path, path, sha256, sha256))
        self.taken_down = str(root / "run" / "taken-down.arrow")
        write_taken_down(self.taken_down, pa.array(sorted(taken_down), pa.string()), parts)
        read, progress = str(root / "run" / "read"), str(root / "run" / "progress")
        self.read = ReadIds(str(root), read, parts, progress)
        self.find = FindLeftOut(
            KeptParts(), len(shards), read, parts, self.taken_down, str(root / "run" / "left-out")
        )

    def pieces(self, *cuts: int) -> list[list[StoredShard]]:
        ends = sorted({0, len(self.shards), *(cut % (len(self.shards) + 1) for cut in cuts)})
        return [self.shards[start:end] for start, end in pairwise(ends)]

    def all(self, *cuts: int) -> list[LeftOut]:
        for piece in self.pieces(*cuts):
            self.read(piece)
        for part in range(self.parts):
            self.find([part])
        return self.left_out

    @property
    def left_out(self) -> list[LeftOut]:
        return list(left_out(self.find.folder))


def expected(shards: list[list[str]], taken_down: Iterable[str]) -> list[LeftOut]:
    """By looking at one record after another."""
    first: dict[str, int] = {}
    found = []
    for number, held in enumerate(shards):
        for item_id in held:
            kept = first.setdefault(item_id, number)
            if kept < number or item_id in taken_down:
                found.append(LeftOut(number, item_id, kept if kept < number else None, item_id in taken_down))
    return sorted(found, key=lambda one: one[:2])


ODD = [
    "a",
    "A",
    "á",
    "a\u0301",
    "\ufffd",
    "\U0001f41f",
    "\u00e9",
    "a\x00",
    "a\x00b",
    "\x00",
    " ",
    "a ",
    "'",
    "\n",
]
SOME = st.sampled_from([*ODD, *(f"{n}" for n in range(20)), "long" * 5000]) | st.text(min_size=1, max_size=3)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    shards=st.lists(st.lists(SOME, max_size=9, unique=True), min_size=1, max_size=6),
    parts=st.integers(1, 5),
    taken_down=st.sets(SOME, max_size=4),
    cuts=st.lists(st.integers(0, 6), max_size=3),
)
def test_what_is_left_out_is_found_whatever_the_shards_pieces_and_parts(
    tmp_path_factory, shards, parts, taken_down, cuts
):
    case = Case(tmp_path_factory.mktemp("case"), shards, parts, taken_down)
    assert case.all(*cuts) == expected(shards, taken_down)


@pytest.mark.parametrize(("most", "opened"), [(1 << 20, 0), (50_000, 1)])
def test_no_database_is_opened_where_few_ids_all_differ(tmp_path, monkeypatch, most, opened):
    count = 0

    def counted(*arguments):
        nonlocal count
        count += 1
        return database(*arguments)

    monkeypatch.setattr(duplicates, "database", counted)
    monkeypatch.setattr(duplicates, "_FEW_BYTES", most)
    shards = [[f"{shard}-{n:050}" for n in range(1000)] for shard in "ab"]
    assert Case(tmp_path, shards, taken_down={"gone before"}).all() == []
    assert count == opened


def die_after(calls: int, work: Callable[[], None]) -> None:
    """Does the work in a process that is killed at its nth renaming of a finished file, or behind the last."""
    child = os.fork()
    if not child:
        replaced, left = os.replace, iter(range(calls))

        def replace_or_die(*arguments):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            replaced(*arguments)

        os.replace = replace_or_die
        work()
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.parametrize("calls", range(9))
def test_a_worker_that_is_killed_anywhere_does_no_harm_nor_one_that_does_its_piece_again(tmp_path, calls):
    shards = [["a", "b"], ["b", "c", "x"], ["a", "c"], ["d"]]
    case = Case(tmp_path, shards, 2, {"x"})
    first, second = case.pieces(2)
    die_after(calls, lambda: (case.read(first), case.read(second), case.find([0, 1])))
    case.read(second)
    case.read(first)
    case.find([1])
    case.read(first)
    case.find([0, 1])
    assert case.left_out == expected(shards, {"x"})


def test_of_every_later_shard_with_the_id_the_list_names_it_and_the_one_that_is_served(tmp_path):
    notes = [a_note(shard=f"{name}.tar") for name in "abcd"]
    case = Case(tmp_path, [["x", "y"], ["z"], ["y", "x"], ["x", "y"]], taken_down={"x", "z"})
    write_duplicates(str(tmp_path / "duplicates.parquet"), case.all(), notes)
    assert pq.read_table(tmp_path / "duplicates.parquet").to_pylist() == [
        {"item_id": item_id, "shard": shard, "kept_shard": "a.tar"}
        for shard in ("c.tar", "d.tar")
        for item_id in ("x", "y")
    ]


def test_where_every_id_comes_once_the_list_is_empty_and_has_its_columns(tmp_path):
    found = Case(tmp_path, [["a"], ["b"]]).all()
    write_duplicates(str(tmp_path / "duplicates.parquet"), found, [])
    assert found == []
    assert pq.read_table(tmp_path / "duplicates.parquet").schema == SCHEMA


@pytest.mark.slow
def test_what_does_not_fit_into_memory_goes_into_a_folder_of_the_run_and_nowhere_else(tmp_path, monkeypatch):
    """300,000 ids of 128 letters in 40 MB; DuckDB alone would spill to `.tmp` in the working folder."""
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lookalike.store.database.MEMORY", "40MB")
    held = [hashlib.sha512(bytes([n & 255, n >> 8 & 255, n >> 16])).hexdigest() for n in range(150_000)]
    case = Case(tmp_path / "store", [held, held])
    case.read(case.shards)
    spilled = []
    read = FindLeftOut._ids

    def watched(self, part):
        for batch in read(self, part):
            spilled.extend((tmp_path / "spill").rglob("*.tmp"))
            yield batch

    monkeypatch.setattr(FindLeftOut, "_ids", watched)
    replace(case.find, spill=str(tmp_path / "spill"))([0])
    assert sum(1 for _ in left_out(case.find.folder)) == 150_000
    assert spilled
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spill", "store"]
    assert not list((tmp_path / "spill").iterdir())
