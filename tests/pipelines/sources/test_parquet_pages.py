import contextlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.sources.parquet_pages import (
    DATA,
    DATA_V2,
    DICTIONARY,
    PLAIN,
    RLE_DICTIONARY,
    Chunk,
    Page,
    _page,
    check_schema,
    open_parquet,
    pages_of,
    row_groups_of,
)


def written(values: list[bytes], **options) -> tuple[io.BytesIO, Chunk]:
    file = io.BytesIO()
    pq.write_table(pa.table({"x": pa.array(values, pa.binary())}), file, **options)
    return file, row_groups_of(file, len(file.getvalue()))[0].chunks[0]


def test_pages_are_told_with_what_they_take_unpacked():
    file, chunk = written([bytes(5000)] * 3, compression="zstd")
    dictionary, data = pages_of(file, len(file.getvalue()), chunk)
    assert (dictionary.kind, dictionary.unpacked, dictionary.values, dictionary.encoding) == (
        DICTIONARY,
        5004,
        1,
        PLAIN,
    )
    assert (data.kind, data.values, data.encoding) == (DATA, 3, RLE_DICTIONARY)
    assert dictionary.packed < 100
    assert dictionary.start + dictionary.packed < data.start
    assert data.start + data.packed <= len(file.getvalue())


def test_pages_of_the_second_version_tell_their_levels_and_all_tell_their_checksums():
    options = {
        "use_dictionary": False,
        "data_page_version": "2.0",
        "write_page_checksum": True,
        "data_page_size": 1,
    }
    file, chunk = written([b"a", b"b", b"c"], write_batch_size=1, compression="none", **options)
    pages = list(pages_of(file, len(file.getvalue()), chunk))
    assert [(page.kind, page.values, page.is_packed) for page in pages] == [(DATA_V2, 1, False)] * 3
    assert all(page.level_bytes and page.crc is not None for page in pages)


def chunk_at(place: int, size: int) -> Chunk:
    return Chunk(place, size, 1, "UNCOMPRESSED")


def test_the_footer_tells_where_chunks_lie():
    file = io.BytesIO()
    pq.write_table(
        pa.table({"x": [b"a"] * 5, "y": range(5)}),
        file,
        row_group_size=2,
        compression={"x": "zstd", "y": "none"},
    )
    found = row_groups_of(file, len(file.getvalue()))
    stored = pq.ParquetFile(file).metadata
    assert [group.rows for group in found] == [2, 2, 1]
    for number, group in enumerate(found):
        for chunk, expected in zip(group.chunks, map(stored.row_group(number).column, range(2)), strict=True):
            assert chunk.start == expected.dictionary_page_offset
            assert (chunk.size, chunk.values) == (expected.total_compressed_size, expected.num_values)
            assert chunk.codec == expected.compression


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", bytes(4) + b"\xff\xff\xff\x7fPAR1", b"\0\1\0\0\0PAR1", b"\x15\2\0\3\0\0\0PAR1"]
)
def test_a_footer_that_is_none_is_an_error(content):
    with pytest.raises(ValueError, match="footer"):
        row_groups_of(io.BytesIO(content), len(content))


def nested(levels: int) -> bytes:
    """A file without rows, of a column in so many columns."""
    group, leaf = b"\x48\1a\x15\2\0", b"\x15\x0c\x25\2\x18\1z\0"
    count = (levels + 1) & 127 | 128, (levels + 1) >> 7
    schema = b"\x19\xfc" + bytes(count) + group * levels + leaf
    footer = b"\x15\2" + schema + b"\x16\0\x19\x0c\0"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def test_columns_are_nested_to_a_limit():
    """20,000 levels ended the process as soon as pyarrow opened the file."""
    data = nested(99)
    check_schema(io.BytesIO(data))
    assert row_groups_of(io.BytesIO(data), len(data)) == []
    assert pq.read_schema(io.BytesIO(data)).names == ["a"]
    data = nested(100)
    with pytest.raises(ValueError, match="nested in more than 100 levels"):
        check_schema(io.BytesIO(data))
    with pytest.raises(ValueError, match="nested in more than 100 levels"):
        row_groups_of(io.BytesIO(data), len(data))


def test_a_file_of_columns_nested_too_deeply_is_named_before_pyarrow_opens_it(tmp_path):
    path = tmp_path / "deep.parquet"
    path.write_bytes(nested(16_000))
    with (
        pytest.raises(LookalikeError, match=f"{path} is not a whole Parquet file: columns nested in more"),
        open_parquet(str(path)),
    ):
        raise AssertionError("it was opened")


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (b"", "is cut"),
        (b"\x15\x00\x15", "is cut"),
        (b"\x15\x00\x15\x02\x00", "is damaged"),
        (b"\x15\x00\x15\x01\x15\x02\x2c\x15\x02\x15\x00\x00\x00", "is damaged"),
        (b"\x1c" * 100, "nested too deeply"),
        (b"\x15" + b"\xff" * 11, "a number of a Thrift structure is too long"),
        (b"\x18" + b"\xff" * 4 + b"\x7f", "is cut, or too long"),
        (b"\x19\xf3" + b"\xff" * 4 + b"\x7f", "a list of a Thrift structure is too long"),
        (b"\x1f", "an unknown type"),
    ],
)
def test_a_header_that_is_none_is_an_error_and_takes_no_time(header, error):
    with pytest.raises(ValueError, match=error):
        list(pages_of(io.BytesIO(header), 80, chunk_at(0, 100)))


@pytest.mark.parametrize("place", [-1, 80, 2**62])
def test_a_page_beyond_the_file_is_an_error(place):
    with pytest.raises(ValueError, match=f"a page begins at byte {place} of 80"):
        list(pages_of(io.BytesIO(bytes(80)), 80, chunk_at(place, 100)))


def test_fields_that_are_not_known_are_passed_over():
    known = b"\x15\x00\x15\x0a\x15\x0a"  # type 0, 5 bytes unpacked, 5 packed
    page = b"\x2c\x15\x02\x15\x00\x15\x06\x15\x06\x00"  # field 5
    unknown = b"\x57" + bytes(8) + b"\x18\x02ab\x19\x25\x02\x04\x1c\x15\x02\x00\x13\x05\x12"  # 10 to 15
    (found,) = pages_of(io.BytesIO(known + page + unknown + bytes(1)), 100, chunk_at(0, 100))
    assert found == Page(DATA, len(known + page + unknown) + 1, 5, 5, None, 1, PLAIN)


@given(header=st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_pages_or_an_error(header):
    with contextlib.suppress(ValueError):
        list(pages_of(io.BytesIO(header), 80, chunk_at(0, 80)))


@pytest.mark.parametrize("of_kind", [b"bytes", [1, 2, 3], 7, {}])
def test_a_header_whose_fields_are_of_other_types_is_damaged(of_kind):
    with pytest.raises(ValueError, match="the page header at byte 4 is damaged"):
        _page({1: DATA, 2: 1, 3: 1, 5: of_kind}, 4, 9)
