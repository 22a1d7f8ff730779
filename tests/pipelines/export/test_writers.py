"""Each format, read back by what others read it with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.export import writers
from lookalike.export.writers import EMBEDDING, FORMATS, IDS, Content, opened

CONTENT = Content(3, {"price": "int64", "tags": "list<string>"}, {"lookalike.encoder": "abc"})


def rows(start: int, count: int) -> tuple[pa.Table, np.ndarray]:
    numbers = range(start, start + count)
    items = {
        "item_id": [f"i{n}é" for n in numbers],
        "price": pa.array([None if n % 3 == 0 else n for n in numbers], pa.int64()),
        "tags": pa.array([[str(n)] for n in numbers], pa.list_(pa.string())),
    }
    return pa.table(items), np.arange(start * 3, (start + count) * 3, dtype=np.float32).reshape(-1, 3) / 7


def written(folder, form, *parts: int) -> dict[str, int]:
    done: dict[str, int] = {}
    start = 0
    with opened(str(folder), form, CONTENT, done) as add:
        for count in parts:
            add(*rows(start, count))
            start += count
    return done


def vectors_in(table: pa.Table) -> np.ndarray:
    column = table[EMBEDDING].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), -1)


def test_parts_of_a_parquet_set_are_bounded_and_one_behind_the_other_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "PART_BYTES", 5 * 12)
    assert written(tmp_path, "parquet", 2, 3, 1, 4) == {
        "part-00000.parquet": 5,
        "part-00001.parquet": 5,
    }
    found = pq.read_table(tmp_path)
    items, vectors = rows(0, 10)
    assert found.drop_columns(EMBEDDING).to_pylist() == items.to_pylist()
    np.testing.assert_array_equal(vectors_in(found), vectors)
    assert pq.read_schema(tmp_path / "part-00001.parquet").metadata[b"lookalike.encoder"] == b"abc"


def test_more_rows_than_a_part_holds_are_a_part_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "PART_BYTES", 1)
    assert list(written(tmp_path, "parquet", 1, 2).values()) == [1, 2]


@pytest.mark.parametrize("parts", [(), (1,), (4, 0, 9), (12345,)])
def test_numpy_reads_and_maps_the_vectors(tmp_path, parts):
    count = sum(parts)
    assert written(tmp_path, "npy", *parts) == {IDS: count, "vectors.npy": count}
    found = np.load(tmp_path / "vectors.npy", mmap_mode="r", allow_pickle=False)
    items, vectors = rows(0, count)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors)
    assert pq.read_table(tmp_path / IDS).to_pylist() == items.to_pylist()


def test_fvecs_are_read_as_faiss_reads_them(tmp_path):
    assert written(tmp_path, "fvecs", 4, 6) == {IDS: 10, "vectors.fvecs": 10}
    # The reader of faiss/contrib/vecs_io.py.
    raw = np.fromfile(tmp_path / "vectors.fvecs", dtype="int32")
    found = raw.reshape(-1, raw[0] + 1)[:, 1:].copy().view("float32")
    items, vectors = rows(0, 10)
    np.testing.assert_array_equal(found, vectors)
    assert pq.read_table(tmp_path / IDS)["item_id"].to_pylist() == items["item_id"].to_pylist()


def test_of_no_items_there_are_columns(tmp_path):
    assert written(tmp_path, "parquet") == {"part-00000.parquet": 0}
    assert pq.read_table(tmp_path / "part-00000.parquet").column_names == [
        "item_id",
        EMBEDDING,
        "price",
        "tags",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_is_given_up_is_not_there(tmp_path, form):
    def give_up(add):
        add(*rows(0, 3))
        raise KeyError

    with pytest.raises(KeyError), opened(str(tmp_path), form, CONTENT, {}) as add:
        give_up(add)
    assert list(tmp_path.iterdir()) == []
