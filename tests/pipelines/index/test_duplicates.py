"""Ids that occur in several shards: the first is served, the others are listed."""

from __future__ import annotations

import dataclasses
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.index.duplicates import SCHEMA, find_duplicates, find_items, write_duplicates
from lookalike.model.errors import LookalikeError
from lookalike.sources.tfrecord import Example, frame
from tests.conftest import picture
from tests.support.small_stores import SmallStore, a_note


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


@pytest.fixture
def store(tmp_path) -> SmallStore:
    return SmallStore(tmp_path)


def test_every_later_shard_with_the_id_is_listed_with_the_one_that_is_served(store):
    notes = [store.embed(shard) for shard in ("a0", "b0")]
    again = [dataclasses.replace(notes[0], shard=name) for name in ("c.tar", "d.tar")]
    assert find_duplicates(store.path, [*notes, *again]).to_pylist() == [
        {"item_id": item_id, "shard": shard, "kept_shard": "a.tar"}
        for shard in ("c.tar", "d.tar")
        for item_id in ("a0-0", "a0-1")
    ]


def test_where_every_id_comes_once_the_list_is_empty_and_has_its_columns(store, tmp_path):
    found = find_duplicates(store.path, [store.embed("a0"), store.embed("b0")])
    assert (len(found), found.schema) == (0, SCHEMA)
    write_duplicates(str(tmp_path / "duplicates.parquet"), found)
    assert pq.read_table(tmp_path / "duplicates.parquet").schema == SCHEMA


def test_a_damaged_embedding_file_is_named(store):
    note = store.embed("a0")
    content = bytearray((store.root / note.path).read_bytes())
    content[4:40] = bytes(36)
    (store.root / note.path).write_bytes(content)
    with pytest.raises(LookalikeError, match=note.path):
        find_duplicates(store.path, [note])


def test_items_are_found_in_every_shard_that_holds_them(store):
    notes = [store.embed("a0"), store.embed("b0"), dataclasses.replace(store.embed("a0"), shard="c.tar")]
    found = find_items(store.path, notes, pa.array(["b0-0", "a0-1", "a0-0", "none"]))
    assert found == {"a.tar": ["a0-0", "a0-1"], "b.tar": ["b0-0"], "c.tar": ["a0-0", "a0-1"]}
    assert find_items(store.path, notes, pa.array([], pa.string())) == {}


def test_what_does_not_fit_into_memory_goes_into_a_folder_of_the_run_and_nowhere_else(tmp_path, monkeypatch):
    """400,000 ids in 30 MB; DuckDB alone would spill to `.tmp` in the working folder."""
    store, spilled = tmp_path / "store", []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lookalike.store.database.MEMORY", "30MB")
    folder = store / "embeddings"
    folder.mkdir(parents=True)
    ids = pa.table({"item_id": [f"a rather long name of an item {number:09}" for number in range(200_000)]})
    notes = []
    for shard in ("a", "b"):
        pq.write_table(ids, folder / f"{shard}.parquet")
        notes.append(a_note(shard=shard, path=f"embeddings/{shard}.parquet"))
    read = pq.ParquetFile.iter_batches

    def watched(*arguments, **options):
        for batch in read(*arguments, **options):
            spilled.extend((tmp_path / "runs").rglob("*.tmp"))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    found = find_duplicates(str(store), notes, str(tmp_path / "runs"))
    assert len(found) == 200_000
    assert spilled
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "store"]
    assert not list((tmp_path / "runs").iterdir())
