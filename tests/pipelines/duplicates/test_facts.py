from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.duplicates import facts
from lookalike.duplicates.catalogues import Catalogue, numbered
from lookalike.duplicates.facts import Corpus, make_items
from lookalike.duplicates.keeping import keeper
from lookalike.duplicates.run import opened
from lookalike.store import generations


def test_items_have_what_their_embedding_files_say(published, tmp_path) -> None:
    generation = generations.read(str(published.store), published.generation["name"])
    catalogue = Catalogue(published.loaded, generation, pa.array(["p01.jpg"]))
    shards = numbered([catalogue])
    every = np.arange(sum(one.vectors for one in shards))
    with opened(str(tmp_path), ()) as run:
        make_items(run, [Corpus(catalogue)], shards, every, keeper("field:number"))
        columns = "item_id, content_hash, width, height, field, shard, place, changed"
        rows = {row[0]: row[1:] for row in run.connection.execute(f"SELECT {columns} FROM items").fetchall()}
        make_items_again = run.connection.execute("SELECT count(DISTINCT vector) FROM items").fetchall()
    expected = {
        row["item_id"]: (row["content_hash"], row["width"], row["height"], row["number"])
        for row in published.embeddings.to_pylist()
        if row["item_id"] != "p01.jpg"
    }
    assert {item_id: row[:4] for item_id, row in rows.items()} == expected
    assert rows["p09.jpg"][4:6] == (1, 1)
    assert {row[6] for row in rows.values()} == {None}
    assert make_items_again == [(23,)]


def test_an_image_shard_changed_when_its_file_did(published, tmp_path) -> None:
    generation = generations.read(str(published.store), published.generation["name"])
    catalogue = Catalogue(published.loaded, generation, pa.array([], pa.string()))
    shards = numbered([catalogue])
    with opened(str(tmp_path), ()) as run:
        make_items(run, [Corpus(catalogue)], shards, np.arange(24), keeper("oldest"))
        rows = run.connection.execute("SELECT DISTINCT shard, changed FROM items ORDER BY shard").fetchall()
    times = [path.stat().st_mtime_ns for path in sorted(published.shards.iterdir())]
    assert rows == list(enumerate(times))


def test_of_an_id_in_several_image_shards_the_record_of_the_first_counts(
    published, tmp_path, monkeypatch
) -> None:
    generation = generations.read(str(published.store), published.generation["name"])
    catalogue = Catalogue(published.loaded, generation, pa.array([], pa.string()))
    usual = facts._facts

    def with_another(corpus: Corpus) -> Iterator[pa.RecordBatch]:
        row = {"shard": 9, "place": 0, "item_id": "p01.jpg", "content_hash": "x", "width": 1, "height": 1}
        yield pa.RecordBatch.from_pylist([row], facts._FACTS)
        yield from usual(corpus)

    monkeypatch.setattr(facts, "_facts", with_another)
    with opened(str(tmp_path), ()) as run:
        make_items(run, [Corpus(catalogue)], numbered([catalogue]), np.arange(24), keeper("largest"))
        statement = "SELECT shard, place FROM items WHERE item_id = 'p01.jpg'"
        assert run.connection.execute(statement).fetchall() == [(0, 1)]


def test_the_field_of_a_rule_is_that_of_the_catalogue_that_is_kept_and_no_number_is_none(
    published, tmp_path, monkeypatch
) -> None:
    generation = generations.read(str(published.store), published.generation["name"])
    nothing = pa.array([], pa.string())
    one = Catalogue(published.loaded, replace(generation, metadata={}), nothing)
    other = Catalogue(published.loaded, replace(generation, metadata={"price": "float64"}), nothing)

    def behind(*arguments: Any) -> Iterator[pa.Table]:
        field = arguments[-1]
        rows = {"side": pa.array([1, 1], pa.int8()), "item": [0, 1], "vector": [0, 1]}
        yield pa.table(
            {**rows, "item_id": ["p00.jpg", "p01.jpg"], "field": pa.array([1.5, np.nan], field.type)}
        )

    monkeypatch.setattr(facts, "items_behind", behind)
    with opened(str(tmp_path), ()) as run:
        make_items(run, [Corpus(one), Corpus(other)], [], np.arange(2), keeper("field:price"))
        found = run.connection.execute("SELECT item_id, field FROM items ORDER BY item").fetchall()
    assert found == [("p00.jpg", 1.5), ("p01.jpg", None)]


def test_times_of_change_are_told_alike_by_disks_and_by_object_stores() -> None:
    assert facts._nanoseconds("1700000000.0") == facts._nanoseconds("1700000000000000000")
