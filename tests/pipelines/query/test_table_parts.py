"""A query table in pieces for workers: none of its queries is in two of them, and failures stand in their places."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.index.query_blocks import read_queries
from lookalike.query import table_parts
from lookalike.query.answering import Served
from lookalike.query.parts import queries_of, read_failures, read_parts
from lookalike.query.query_files import query_table
from lookalike.query.row_files import read_rows
from lookalike.store import generations


def served_of(published, path) -> Served:
    with generations.reading(str(published.store)) as generation:
        from lookalike.index.post_processing import Asked

        return Served(published.loaded, generation, Asked(3), pa.array([], pa.string()), query_table(path))


def test_pieces_of_rows_are_as_large_as_a_worker_takes(published, tmp_path, monkeypatch):
    monkeypatch.setattr(table_parts, "PICTURES", 3)
    monkeypatch.setattr(table_parts, "IMAGE_BLOCK", 2)
    (tmp_path / "t.csv").write_text("query_id,path\n" + "".join(f"{i},x\n" for i in "abbbcde"))
    served = served_of(published, str(tmp_path / "t.csv"))
    shards = table_parts.rows_as_shards(str(tmp_path), served, served.table)
    found = [[rows["query_id"].to_pylist() for rows in read_rows(shard.place)] for shard in shards]
    assert found == [[["a"], ["b", "b", "b"]], [["c", "d"], ["e"]]]
    assert len({shard.token for shard in shards}) == 2


def test_vectors_are_parts_at_once(published, tmp_path, monkeypatch):
    monkeypatch.setattr(table_parts, "ROWS", 1)
    vectors = pa.array([[1.0] * 16, [0.0] * 16, [2.0] * 16], pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"query_id": list("abc"), "vector": vectors, "n": [1, 2, 3]}), tmp_path / "t.parquet"
    )
    served = served_of(published, str(tmp_path / "t.parquet"))
    monkeypatch.setattr("lookalike.index.post_processing.BLOCK", 2)
    table_parts.write_parts(str(tmp_path), served, served.table)
    parts = read_parts(str(tmp_path))
    assert [(part.name, part.queries, part.reasons) for part in parts] == [
        ("00000000", 1, {"vector": 1}),
        ("00000001", 1, {}),
    ]
    blocks = list(read_queries(queries_of(str(tmp_path), 0, part.name) for part in parts))
    assert [(block.ids, block.columns.to_pydict()) for block in blocks] == [
        (["a"], {"n": [1]}),
        (["c"], {"n": [3]}),
    ]
    assert [f.query_id for f in read_failures(str(tmp_path), "failures", "00000000")] == ["b"]


def test_of_vectors_with_filters_of_their_own_only_those_are_asked_whose_filter_is_one(published, tmp_path):
    vectors = pa.array([[1.0] * 16] * 2, pa.list_(pa.float32()))
    table = pa.table({"query_id": ["a", "b"], "vector": vectors, "where": ["no_such_field = 1", "true"]})
    pq.write_table(table, tmp_path / "t.parquet")
    served = served_of(published, str(tmp_path / "t.parquet"))
    table_parts.write_parts(str(tmp_path), served, served.table)
    assert [part.reasons for part in read_parts(str(tmp_path))] == [{"filter": 1}]
