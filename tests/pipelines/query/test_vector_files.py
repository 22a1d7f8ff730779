"""Files of vectors that others made: every row in its place, and none takes more memory than its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.index import post_processing
from lookalike.model.errors import LookalikeError
from lookalike.query import vector_files
from tests.support.queries import corpus, noisy, refused


def test_row_numbers_are_ids_over_all_blocks(copied, monkeypatch):
    monkeypatch.setattr(post_processing, "BLOCK", 2)
    assert copied.query(copied.vectors_file([[1.0] * 16] * 5), "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == ["0", "1", "2", "3", "4"]


def test_a_damaged_vector_is_noticed_where_the_file_has_checksums(copied):
    path = copied.folder / "sealed.parquet"
    vectors = noisy(corpus(copied)[1], 20)
    table = pa.table({"vector": pa.array(list(vectors), pa.list_(pa.float32()))})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(vectors[3].tobytes())] ^= 1
    path.write_bytes(content)
    assert "sealed.parquet is not a whole Parquet file" in refused(copied, path)


def test_of_some_row_groups_the_rows_have_their_numbers_in_the_file_and_over_all_files(tmp_path):
    path = tmp_path / "q.parquet"
    rows = np.arange(14, dtype=np.float32).reshape(7, 2) + 1
    pq.write_table(pa.table({"vector": pa.array(list(rows), pa.list_(pa.float32()))}), path, row_group_size=3)
    (block,) = vector_files.vectors_of_groups(files.look(str(path)), (1, 2), 2, "cosine", "f", before=100)
    assert block.numbers.tolist() == [3, 4, 5, 6]
    assert block.ids == ["103", "104", "105", "106"]
    np.testing.assert_array_equal(block.vectors, rows[3:])


@pytest.mark.slow
def test_a_small_file_of_very_many_numbers_or_long_ids_is_refused_unread(tmp_path):
    path = str(tmp_path / "q.parquet")
    count = vector_files._MOST_BESIDE + 5
    numbers = pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([0], pa.float32()))
    large = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), numbers)
    pq.write_table(pa.table({"vector": large}), path)
    assert Path(path).stat().st_size < 10_000
    with pytest.raises(LookalikeError, match=r"expected vectors of 4 numbers. Received: 67,108,869 values"):
        list(vector_files.vector_blocks(files.glob(path), 4, "cosine", "f"))
    long = ["x" * (vector_files._MOST_ID + 1)] * 2
    pq.write_table(pa.table({"id": long, "vector": [[1.0, 2.0]] * 2}), path)
    with pytest.raises(LookalikeError, match=r"ids of at most 16,384 bytes. Received: one of 16,385"):
        list(vector_files.vector_blocks(files.glob(path), 2, "cosine", "f"))


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("--", "--runner=DirectRunner"), marks=pytest.mark.slow)]
)
def test_row_numbers_go_on_in_the_next_file(copied, workers):
    """A glob, or a folder as Spark leaves it: ids stay, and of rows without one none has the number of another."""
    folder = copied.folder / "vectors"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    vectors = pa.array(list(noisy(corpus(copied)[1], 5)), pa.list_(pa.float32()))
    pq.write_table(pa.table({"vector": vectors[:2]}), folder / "part-0.parquet")
    pq.write_table(
        pa.table({"id": ["a", None], "vector": vectors[2:4]}), folder / "part-1.parquet", row_group_size=1
    )
    pq.write_table(pa.table({"vector": vectors[4:]}), folder / "part-2.parquet")
    for path in (folder, folder / "*.parquet"):
        assert copied.query(path, "-k", 1, *workers).code == 0
        assert copied.results["query_id"].to_pylist() == ["0", "1", "a", "4"]
        assert [tuple(one.values()) for one in copied.failures] == [("3", "id", "the id is null")]


@pytest.mark.parametrize("name", ["vector", "box"])
def test_lists_of_a_fixed_size_with_nulls_which_arrow_cannot_read_are_told_as_what_they_are(tmp_path, name):
    lists = pa.array([[0.5, 1.0], None], pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"path": ["a", "b"], name: lists}), tmp_path / "t.parquet")
    info = files.look(str(tmp_path / "t.parquet"))
    with (
        open(info.path, "rb") as file,
        pytest.raises(LookalikeError, match=f"list in every row of the column '{name}'"),
    ):
        vector_files.check_pages(pq.ParquetFile(info.path), info, file, [name], None, 2)
