import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.sources import Shard, SourceOptions
from lookalike.sources.parquet import read
from lookalike.sources.parquet_pages import pages_of, row_groups_of
from lookalike.sources.parquet_values import RefusedError, _hybrid, check_readable, values
from lookalike.sources.records import Record, Reject
from tests.support.memory import measured

CODECS = ["none", "snappy", "gzip", "zstd", "brotli"]


def one_at_a_time(
    table: pa.Table, max_bytes: int = 1000, column: int = 0, **options
) -> list[bytes | int | None]:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    parquet, found = pq.ParquetFile(file), []
    level = parquet.schema.column(column).max_definition_level
    for group in row_groups_of(file, len(file.getvalue())):
        chunk = group.chunks[column]
        pages = list(pages_of(file, len(file.getvalue()), chunk))
        check_readable(pages, chunk.codec, 1 << 20)
        found += values(file, pages, chunk.codec, level, max_bytes)
    return found


@given(
    stored=st.lists(
        st.none() | st.sampled_from([b"", b"a", b"bc" * 50]) | st.binary(max_size=99), max_size=90
    ),
    codec=st.sampled_from(CODECS),
    nested=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "use_dictionary": st.booleans(),
            "data_page_version": st.sampled_from(["1.0", "2.0"]),
            "data_page_size": st.sampled_from([1, 100, 1 << 20]),
            "write_batch_size": st.sampled_from([1, 7, 1024]),
            "row_group_size": st.sampled_from([10, 1000]),
            "write_page_checksum": st.booleans(),
            "dictionary_pagesize_limit": st.sampled_from([200, 1 << 20]),
        }
    ),
)
@settings(max_examples=200, deadline=None)
def test_values_are_those_that_were_written(stored, codec, nested, options):
    column = pa.array(stored, pa.binary())
    if nested:
        column = pa.StructArray.from_arrays(
            [column], ["bytes"], mask=pa.array([i % 5 == 4 for i in range(len(stored))], pa.bool_())
        )
        stored = [None if i % 5 == 4 else value for i, value in enumerate(stored)]
    found = one_at_a_time(pa.table({"image": column}), 80, compression=codec, **options)
    assert found == [len(v) if v is not None and len(v) > 80 else v for v in stored]


def test_a_column_without_nulls_has_no_levels():
    schema = pa.schema([pa.field("image", pa.binary(), nullable=False)])
    assert one_at_a_time(pa.table({"image": [b"a", b"bc"]}, schema)) == [b"a", b"bc"]


@given(numbers=st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=200))
def test_packed_bits_are_unpacked_at_any_width(numbers):
    width = max(1, max(numbers).bit_length())
    padded = numbers + [0] * (-len(numbers) % 8)
    bits = np.array([[number >> bit & 1 for bit in range(width)] for number in padded], np.uint8)
    packed = bytes([len(padded) // 8 << 1 & 127 | 1]) if len(padded) <= 504 else b""
    assert list(_hybrid(packed + np.packbits(bits.ravel(), bitorder="little").tobytes(), width)) == padded


def test_a_wrong_checksum_is_an_error():
    file = io.BytesIO()
    options = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    pq.write_table(pa.table({"image": [b"an image of many bytes"]}), file, **options)
    chunk = row_groups_of(file, len(file.getvalue()))[0].chunks[0]
    damaged = io.BytesIO(file.getvalue().replace(b"many bytes", b"many cytes"))
    with pytest.raises(ValueError, match="the checksum of the page at byte"):
        list(values(damaged, list(pages_of(damaged, len(damaged.getvalue()), chunk)), chunk.codec, 1, 100))


def test_encodings_and_codecs_that_are_not_read_are_refused():
    table = pa.table({"image": [b"abc", b"abd"]})
    for options, error in (
        (
            {"column_encoding": "DELTA_BYTE_ARRAY", "use_dictionary": False},
            "not as plain values or with a dictionary",
        ),
        ({"compression": "lz4"}, "packed by LZ4"),
    ):
        with pytest.raises(RefusedError, match=error):
            one_at_a_time(table, **options)


def read_file(path, **options) -> list[Record | Reject]:
    return list(read(Shard(str(path), "parquet", (files.look(str(path)),)), SourceOptions(**options)))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_rows_of_large_pages_are_those_of_small_ones(tmp_path, monkeypatch, codec, dictionary, nested):
    images = [b"%d" % (i % 7) * 50 if i % 11 else None for i in range(100)]
    columns = {"id": [str(i) for i in range(100)], "image": images}
    if nested:
        pairs = zip(columns.pop("id"), images, strict=True)
        columns["image"] = [{"bytes": image, "path": name} for name, image in pairs]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, compression=codec, use_dictionary=dictionary, row_group_size=30)
    small = read_file(path)
    by_position = read_file(path, item_id="position")
    assert sum(isinstance(item, Record) for item in small) == 90
    monkeypatch.setattr("lookalike.sources.parquet._MOST_PAGE", 0)
    monkeypatch.setattr("lookalike.sources.parquet.MOST_METADATA", 0)
    assert read_file(path) == small
    monkeypatch.setattr("lookalike.sources.parquet._MOST_BESIDE", 0)
    assert read_file(path, item_id="position") == by_position
    items = read_file(path)
    assert [(item.item_id, item.position, item.stage) for item in items] == [
        (None, i, "read") for i in range(100)
    ]
    assert items[40].error.startswith("row group 1 is not read: pages of ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"use_dictionary": False, "compression": "zstd"}, {"compression": "gzip"}]
)
def test_an_image_of_a_page_of_gigabytes_is_one_reject_in_small_memory(tmp_path, options):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": ["a", "b", "c"], "image": [b"1", bytes(300 << 20), b"3"]}), path, **options
    )
    (first, second, third), grown = measured(lambda: read_file(path))
    assert (first.image, third.image) == (b"1", b"3")
    assert second == Reject(
        "b", 1, "read", "314,572,800 bytes, more than corpus.max_bytes allows: 268,435,456"
    )
    assert grown < 600 << 20


@pytest.mark.slow
def test_a_small_dictionary_that_stands_for_gigabytes_is_read_row_by_row(tmp_path):
    image = pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), pa.array([bytes(100 << 20)]))
    table = pa.table({"id": [str(i) for i in range(20)], "image": image})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", store_schema=False)
    shard = Shard("a", "parquet", (files.look(str(tmp_path / "a.parquet")),))
    assert shard.size < 10_000
    sizes, grown = measured(lambda: [len(record.image) for record in read(shard, SourceOptions())])
    assert sizes == [100 << 20] * 20
    assert grown < 600 << 20
    text = pa.table({"id": ["a"], "image": [b"1"], "name": ["x" * (100 << 20)]})
    pq.write_table(text, tmp_path / "b.parquet", compression="zstd")
    (item,), grown = measured(lambda: read_file(tmp_path / "b.parquet", metadata={"name": "string"}))
    assert item.error.startswith("row group 0 is not read: pages of 104,857,6")
    assert grown < 100 << 20


def test_more_rows_than_bytes_are_no_images(tmp_path):
    path = tmp_path / "a.parquet"
    nothing = pa.nulls(1_000_000, pa.binary())
    pq.write_table(pa.table({"id": pa.array(["a"] * 1_000_000), "image": nothing}), path, compression="zstd")
    (item,) = read_file(path)
    assert item.ends_shard
    assert item.error.startswith("1,000,000 rows in ")
