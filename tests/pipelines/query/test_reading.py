"""What workers read at a time: it travels as JSON, and files of vectors are cut between row groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.embedding import attempts
from lookalike.filesystem.files import FileInfo
from lookalike.index.query_blocks import QueryBlock, read_queries, write_queries
from lookalike.query import reading
from lookalike.query.id_lists import ListedIds
from lookalike.query.matching import CheckFilters
from lookalike.query.parts import queries_of, read_failures
from lookalike.query.reading import IdPiece, Source, vector_sources
from lookalike.runner.work_list import write_work_list
from lookalike.sources import Shard, SourceOptions
from lookalike.store.generation import IndexRef


def test_row_groups_are_read_together_until_they_are_worth_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "ROWS", 5)
    for name, rows in (("a", 14), ("b", 1)):
        vectors = pa.array(list(np.ones((rows, 2), np.float32)), pa.list_(pa.float32()))
        pq.write_table(pa.table({"vector": vectors}), tmp_path / f"{name}.parquet", row_group_size=3)
    found = list(vector_sources(f"{tmp_path}/*.parquet"))
    assert [(one.number, one.file.path[-9:], one.groups, one.before) for one in found] == [
        (0, "a.parquet", (0, 1), 0),
        (1, "a.parquet", (2, 3), 0),
        (2, "a.parquet", (4,), 0),
        (3, "b.parquet", (0,), 14),
    ]


def test_they_are_the_same_from_json_with_absolute_paths_and_the_place_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = FileInfo("a", 7, "1")
    for one in (Source(3, shard=Shard("a", "tfrecord", (file,))), Source(4, file=file, groups=(1, 2))):
        back = Source.from_json(one.to_json())
        assert (back.number, back.size, back.groups) == (one.number, 7, one.groups)
        assert (back.file or back.shard.files[0]).path == str(tmp_path / "a")
        assert back.place == ("a" if one.shard else "")
    piece = IdPiece(2, (IndexRef("a", "b", 1, "ah", 0.5, {"members": 0.5}),), (0, 1))
    assert IdPiece.from_json(piece.to_json()) == piece


def test_images_that_ended_a_worker_are_suspect_when_they_are_read_again(tmp_path, monkeypatch):
    suspects = []

    def blocks(*_, suspect, **__):
        suspects.append(suspect)
        return iter(())

    monkeypatch.setattr(reading, "encoded_blocks", blocks)
    monkeypatch.setattr(reading, "_encoder", lambda *_: None)
    shard = Shard("a", "tfrecord", (FileInfo(str(tmp_path / "a"), 7, "1"),))
    check = CheckFilters({}, None)
    read = reading.ReadQueries(
        str(tmp_path), SourceOptions(), "none", "f", 2, "cosine", 1, 8, suspect=False, check=check
    )
    for number in (0, 1):
        read([Source(number, shard=shard)])
    attempts.begin(str(tmp_path), shard)  # and then the worker was gone
    read([Source(2, shard=shard)])
    read([Source(3, shard=shard)])
    assert suspects == [False, False, True, False]


def test_vectors_that_several_workers_found_go_to_the_queries_that_asked(tmp_path):
    lines = [(0, "a", True), (1, "none", True), (3, "b", True), (4, "c", True)]
    listed = ListedIds(write_work_list(str(tmp_path / "ids"), lines, 4, tuple, 1), "best", "cosine")
    # z is of a group that is called a.
    for name, ids, numbers in (("000-000", ["c", "z"], [3, 0]), ("001-000", ["a", "b"], [0, 2])):
        with write_queries(str(tmp_path / "found" / "00000000" / name), 1) as add:
            columns = pa.table({"is_item": [one != "z" for one in ids]})
            vectors = np.float32([[ord(one)] for one in ids])
            add(QueryBlock(ids, vectors, np.array(numbers), columns=columns))
    checked: list[list[str]] = []
    check: Any = lambda block: checked.append(block.ids) or block  # noqa: E731
    reading.GatherVectors(reading.LookUp(str(tmp_path), "none", listed, 1, None, 9, 9), check)([0])
    assert checked == [["a", "b", "c"]]
    (block,) = read_queries([queries_of(str(tmp_path), 0, "00000000")])
    assert (block.ids, block.vectors.ravel().tolist()) == (["a", "b", "c"], [*map(ord, "abc")])
    assert [f.query_id for f in read_failures(str(tmp_path), "failures", "00000000")] == ["none"]
