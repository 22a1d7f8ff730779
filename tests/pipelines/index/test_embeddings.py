"""Embedding files are what their digests say before a row of them is used."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.index import embeddings
from lookalike.index.embeddings import DamagedError, open_parquet, open_whole, rows_of
from lookalike.model.errors import LookalikeError
from tests.support.small_stores import flip


@pytest.fixture
def path(tmp_path) -> str:
    pq.write_table(
        pa.table({"item_id": [f"i{n}" for n in range(30)]}), tmp_path / "a.parquet", row_group_size=7
    )
    return str(tmp_path / "a.parquet")


def ids(path: str, sha256: str) -> list[str]:
    with open_whole(path, sha256) as file:
        batches = rows_of(open_parquet(file, path), path, ["item_id"])
        return [item_id for batch in batches for item_id in batch["item_id"].to_pylist()]


@pytest.mark.parametrize("whole", [1, 100, 1 << 20])
def test_a_file_is_read_the_same_whether_it_fits_into_memory_or_not(path, monkeypatch, whole):
    monkeypatch.setattr(embeddings, "WHOLE", whole)
    assert ids(path, files.sha256(path)) == [f"i{n}" for n in range(30)]
    with open_whole(path, files.sha256(path)) as file:
        assert file.read() == files.read_bytes(path)


@pytest.mark.parametrize("whole", [1, 100, 1 << 20])
def test_every_flipped_bit_is_damage(tmp_path, path, monkeypatch, whole):
    monkeypatch.setattr(embeddings, "WHOLE", whole)
    sha256 = files.sha256(path)
    for at in (0, 150, -1):
        before = flip(tmp_path / "a.parquet", at)
        with pytest.raises(DamagedError, match=path):
            ids(path, sha256)
        (tmp_path / "a.parquet").write_bytes(before)
    assert ids(path, sha256)


@pytest.mark.parametrize("content", [b"", b"no Parquet", "text that is not UTF-8"])
def test_a_file_that_has_its_digest_and_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "a.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        held = pa.array([b"\xff\xfe"]).view(pa.string())
        pq.write_table(pa.table({"item_id": held}), path)
    with pytest.raises(LookalikeError, match=f"{path} is not a whole Parquet file"):
        ids(str(path), files.sha256(str(path)))
