"""What a path of queries names: a table, vectors, shards of images, or one photograph."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.query import inputs, query_files
from lookalike.query.query_files import image_shards, query_table, table_files
from lookalike.sources import SourceOptions


def parquet(path, /, **columns) -> str:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"embedding": [[0.5]]}, "vectors"),
        ({"query_id": ["a"], "vector": [[0.5]]}, "vectors"),
        ({"item_id": ["a"], "vector": [[0.5]], "title": ["x"]}, "table"),
        ({"query_id": ["a"], "image": [b"x"]}, "table"),
        ({"image": [b"x"], "where": ["x"]}, "table"),
        ({"item_id": ["a"], "image": [b"x"]}, "images"),
        ({"path": ["a"], "image": [{"bytes": b"x"}]}, "images"),
        ({"path": ["a"]}, "table"),
        ({"item_id": ["a"], "title": ["x"]}, "table"),
        ({"path": ["a"], "prices": [[0.5]]}, "table"),
        ({"title": ["x"]}, "images"),
    ],
)
def test_what_a_parquet_file_is_by_its_columns(tmp_path, columns, kind):
    assert inputs.kind_of(parquet(tmp_path / "t.parquet", **columns)) == kind
    assert inputs.kind_of(str(tmp_path)) == kind


def test_a_folder_of_other_files_holds_images(tmp_path):
    parquet(tmp_path / "a.parquet", path=["a"])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden").touch()
    assert [info.path for info in table_files(str(tmp_path))] == [str(tmp_path / "a.parquet")]
    (tmp_path / "b.jpg").touch()
    assert table_files(str(tmp_path)) == []
    (tmp_path / "t.csv").touch()
    assert table_files(str(tmp_path)) == []


def test_names_tell_the_form_of_text(tmp_path):
    for name in ("a.csv", "b.jsonl", "c.ndjson", "D.CSV"):
        (tmp_path / name).write_text('{"path": "a"}\n' if "json" in name else "path\n")
        assert inputs.kind_of(str(tmp_path / name)) == "table"
    with pytest.raises(LookalikeError, match=r"none\.csv"):
        inputs.kind_of(str(tmp_path / "none.csv"))


def test_a_glob_of_tables_is_one_table(tmp_path):
    for name in "ba":
        (tmp_path / f"{name}.csv").write_text("path\nx\n")
    assert [info.path[-5:] for info in query_table(str(tmp_path / "*.csv")).files] == ["a.csv", "b.csv"]


def test_a_photograph_is_a_shard_and_its_name_the_id(tmp_path, monkeypatch):
    (tmp_path / "[1].JPG").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for path in ("[1].JPG", str(tmp_path / "[1].JPG")):
        (shard,) = image_shards(path, SourceOptions())
        assert (shard.format, [info.size for info in shard.files]) == ("folder", [1])
    with pytest.raises(LookalikeError):
        image_shards("none.jpg", SourceOptions())


def test_files_of_a_folder_are_in_the_order_of_their_names(tmp_path, monkeypatch):
    for name in "bca":
        parquet(tmp_path / f"{name}.parquet", path=["x"])
    usual = query_files.files.each_file
    monkeypatch.setattr(
        query_files.files, "each_file", lambda folder: sorted(usual(folder), key=lambda f: f.path)[::-1]
    )
    assert [info.path[-9:] for info in table_files(str(tmp_path))] == [f"{name}.parquet" for name in "abc"]


def test_a_folder_that_is_called_as_a_photograph_is_read_as_a_folder(tmp_path):
    (tmp_path / "all.jpg").mkdir()
    (tmp_path / "all.jpg" / "1.jpg").write_bytes(b"x")
    (shard,) = image_shards(str(tmp_path / "all.jpg"), SourceOptions())
    assert [file.path for file in shard.files] == [str(tmp_path / "all.jpg" / "1.jpg")]


def test_a_photograph_that_is_a_named_pipe_is_told_of_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a[1].jpg")
    (shard,) = image_shards(str(tmp_path / "a[1].jpg"), SourceOptions())
    assert [file.problem for file in shard.files] == ["'a[1].jpg' is a named pipe, not an image"]
