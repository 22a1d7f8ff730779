"""Which fields a shard has, for a sentence."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.sources import FILE_FORMATS, SourceOptions, find_shards
from lookalike.sources.pack import pack
from lookalike.sources.present import fields_of
from tests.support.memory import measured


@pytest.fixture(params=FILE_FORMATS)
def shard(request, tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(4):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"x" * 100)
        rows.append(json.dumps({"path": f"{number}.jpg", "a": None, **({"b": 1} if number == 2 else {})}))
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    out = str(tmp_path / "out")
    return Path(
        *pack(
            str(tmp_path / "images"), out, format=request.param, metadata=str(tmp_path / "rows.jsonl")
        ).shards
    )


def found(path: Path) -> frozenset[str]:
    (shard,) = find_shards(str(path), SourceOptions())
    return fields_of(shard)


def test_fields_are_there_though_they_are_null(shard):
    assert found(shard) >= {"a", "b"}


def test_a_zipped_shard_has_them_too(shard):
    if shard.suffix != ".parquet":
        zipped = shard.with_name(shard.name + ".gz")
        zipped.write_bytes(gzip.compress(shard.read_bytes()))
        assert found(zipped) == found(shard)


def test_of_a_damaged_shard_is_told_what_can_be_read(shard):
    content = shard.read_bytes()
    for cut in (1, 5, 40, 300, len(content) // 2, len(content) - 5):
        shard.write_bytes(content[:cut])
        assert found(shard) <= {"a", "b", "item_id", "image", "image/encoded", "image/filename"}


def test_a_folder_has_the_directory(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert found(tmp_path) == {"directory"}


def test_a_column_whose_name_is_not_utf8_is_left_to_the_reader(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["1"], "caf\u00e9": [1]}), path)
    path.write_bytes(path.read_bytes().replace("caf\u00e9".encode(), b"caf\xff\xfe"))
    assert found(path) == frozenset()


@pytest.mark.slow
def test_a_header_of_gigabytes_is_not_read(tmp_path):
    described = tarfile.TarInfo("a.jpg")
    described.type, described.size = tarfile.XHDTYPE, 1 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(described.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, (1 << 30) + 512)
    fields, grown = measured(lambda: found(path))
    assert not fields
    assert grown < 64 << 20


def test_a_field_may_be_of_a_later_record_alone(tmp_path):
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        for number in range(4):
            content = json.dumps({"a": 1} | ({"b": 1} if number == 2 else {})).encode()
            member = tarfile.TarInfo(f"{number}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert found(tmp_path / "some.tar") == {"a", "b"}
