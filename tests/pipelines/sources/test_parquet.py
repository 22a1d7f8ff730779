import errno
import io
import re
from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.sources import Shard, SourceOptions
from lookalike.sources.parquet import read
from lookalike.sources.records import Record, Reject


def read_table(tmp_path, columns: dict, **options):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    shard = Shard(str(path), "parquet", (files.look(str(path)),))
    return list(read(shard, SourceOptions(**options)))


def not_utf8(*values: bytes | None) -> pa.Array:
    """Text as a careless writer stores it."""
    raw = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), raw.buffers())


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary())],
)
@pytest.mark.parametrize("ids", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_images_and_ids_of_every_layout_are_read(tmp_path, kind, ids):
    columns = {"id": pa.array(["a", "ü"]).cast(ids), "jpg": pa.array([b"1", b""], kind)}
    assert read_table(tmp_path, columns) == [Record("a", b"1", 0), Record("ü", b"", 1)]


def test_whole_numbers_are_ids_and_rows_keep_their_order_over_batches(tmp_path):
    columns = {"key": pa.array(range(40), pa.uint16()), "image": [b"%d" % i for i in range(40)]}
    assert read_table(tmp_path, columns) == [Record(str(i), b"%d" % i, i) for i in range(40)]


def test_a_hugging_face_image_has_its_path_for_an_id_unless_there_is_an_id_column(tmp_path):
    image = pa.array(
        [{"bytes": b"1", "path": "a.jpg"}, None, {"bytes": None, "path": "c"}, {"bytes": b"4", "path": None}]
    )
    items = read_table(tmp_path, {"image": image})
    assert items[0] == Record("a.jpg", b"1", 0)
    assert [(item.item_id, item.stage) for item in items[1:]] == [(None, "id"), ("c", "read"), (None, "id")]
    items = read_table(tmp_path, {"image": image, "id": ["w", "x", "y", "z"]})
    assert [(item.item_id, getattr(item, "stage", "")) for item in items] == [
        ("w", ""),
        ("x", "read"),
        ("y", "read"),
        ("z", ""),
    ]


def test_ids_by_position_need_neither_a_column_nor_paths(tmp_path):
    image = pa.array(
        [{"bytes": b"1", "path": None}, {"bytes": None, "path": "c"}, {"bytes": b"3", "path": "a"}]
    )
    first, second, third = read_table(tmp_path, {"image": image}, item_id="position")
    assert (first.item_id.endswith("/a/0"), first.image) == (True, b"1")
    assert (second.item_id.endswith("/a/1"), second.stage) == (True, "read")
    assert third.item_id.endswith("/a/2")
    (item,) = read_table(tmp_path, {"image": [b"1"], "x": [1.5]}, item_id="position")
    assert item.image == b"1"


def test_rows_of_a_row_group_that_would_take_much_memory_are_rejected_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("lookalike.sources.parquet._MOST_BESIDE", 1000)
    path = tmp_path / "a.parquet"
    columns = {"id": list("abcd"), "image": [b"1"] * 4, "name": ["x" * 2000, "", "y", "z"]}
    pq.write_table(pa.table(columns), path, row_group_size=2)
    shard = Shard(str(path), "parquet", (files.look(str(path)),))
    items = list(read(shard, SourceOptions(metadata={"name": "string"})))
    error = "row group 0 is not read: pages of 2,018 bytes beside the image, more than 1,000"
    assert items[:2] == [Reject(None, 0, "read", error), Reject(None, 1, "read", error)]
    assert [item.item_id for item in items[2:]] == ["c", "d"]
    assert len(list(read(shard, SourceOptions()))) == 4


def test_nulls_reject_their_row_alone(tmp_path):
    items = read_table(tmp_path, {"id": ["a", None, "c"], "image": [None, b"2", b"3"]})
    assert items == [
        Reject("a", 0, "read", "column 'image', the image, is null"),
        Reject(None, 1, "id", "column 'id', the id, is null; set corpus.item_id: position, or field:NAME"),
        Record("c", b"3", 2),
    ]


def test_text_that_is_not_utf8_rejects_its_row_alone(tmp_path):
    ids, names = not_utf8(b"caf\xe9", b"b", b"c"), not_utf8(b"x", b"\xff", None)
    items = read_table(tmp_path, {"id": ids, "image": [b"1"] * 3, "name": names}, metadata={"name": "string"})
    assert [(item.item_id, getattr(item, "stage", "")) for item in items] == [
        ("caf\\xe9", "id"),
        ("b", "metadata"),
        ("c", ""),
    ]


def test_metadata_columns_are_typed_and_an_absent_one_is_none(tmp_path):
    columns = {
        "id": ["a"],
        "image": [b"1"],
        "day": pa.array([0], pa.date32()),
        "price": pa.array(["1.25"]).cast(pa.decimal128(5, 2)),
        "size": pa.array([1.5], pa.float16()),
        "big": pa.array([2**63], pa.uint64()),
    }
    schema = {"day": "string", "price": "float64", "size": "float64", "none": "int64"}
    (item,) = read_table(tmp_path, columns, metadata=schema)
    assert item.metadata == {"day": "1970-01-01", "price": 1.25, "size": 1.5, "none": None}
    (item,) = read_table(tmp_path, columns, metadata={"big": "int64"})
    assert (item.stage, item.ends_shard) == ("metadata", False)


@pytest.mark.parametrize(
    ("columns", "options", "error"),
    [
        (
            {"id": ["a"], "x": ["b"]},
            {},
            r"no image column named image, .*; set corpus\.image_field\. .*: id \(string\), x",
        ),
        (
            {"id": ["a"], "image": ["b"]},
            {"image_field": "image"},
            r"no image column 'image'; set corpus\.image_field",
        ),
        (
            {"image": [b"b"], "x": [1.5]},
            {},
            r"no id column named item_id, .*; set corpus\.id_field or corpus\.item_id: position\. .*x \(double\)",
        ),
        ({"image": [b"b"], "x": [1.5]}, {"id_field": "x"}, r"no id column 'x'; set corpus\.id_field"),
        ({"image": [b"b"]}, {"item_id": "field:x"}, r"no column 'x'; set corpus\.item_id"),
        (
            {"id": ["a"], "image": [b"b"], "x": [[1]]},
            {"metadata": {"x": "int64"}},
            r"corpus\.metadata\.x: expected",
        ),
    ],
)
def test_a_missing_column_ends_the_shard_naming_columns_and_key(tmp_path, columns, options, error):
    (item,) = read_table(tmp_path, columns, **options)
    assert (item.item_id, item.position, item.stage, item.ends_shard) == (None, 0, "read", True)
    assert re.search(error, item.error)


def test_a_file_without_rows_has_no_records(tmp_path):
    assert read_table(tmp_path, {"id": pa.array([], pa.string()), "image": pa.array([], pa.binary())}) == []


def test_fewer_rows_than_the_footer_says_are_told(tmp_path, monkeypatch):
    class Short(pq.ParquetFile):
        def iter_batches(self, *arguments, **options):
            return iter(list(super().iter_batches(*arguments, **options))[:-1])

    monkeypatch.setattr("lookalike.sources.parquet.pq.ParquetFile", Short)
    items = read_table(tmp_path, {"id": [str(i) for i in range(20)], "image": [b"x"] * 20})
    assert [item.position for item in items] == list(range(17))
    assert items[16] == Reject(None, 16, "read", "the footer promises 20 rows", ends_shard=True)


def test_what_the_file_system_reports_is_no_damage(tmp_path, monkeypatch):
    class Failing(io.FileIO):
        def readinto(self, buffer):
            raise OSError(errno.EIO, "Input/output error")

        def read(self, size=-1):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("lookalike.filesystem.files.open_read", lambda path: Failing(path))
    with pytest.raises(OSError, match="Input/output error"):
        read_table(tmp_path, {"id": ["a"], "image": [b"x"]})


def test_a_damaged_image_is_noticed_where_the_file_has_checksums(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["a"], "image": [b"an image of many bytes"]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"many bytes", b"many cytes"))
    shard = Shard(str(path), "parquet", (files.look(str(path)),))
    (item,) = read(shard, SourceOptions())
    assert isinstance(item, Reject)
    assert item.ends_shard


def test_the_columns_that_are_configured_are_taken_though_others_are_named_like_them(tmp_path):
    columns = {"id": ["a"], "name": ["b"], "image": [b"1"], "photo": [b"2"]}
    assert read_table(tmp_path, columns, image_field="photo", id_field="name") == [Record("b", b"2", 0)]


def test_of_two_columns_of_one_name_none_is_taken(tmp_path):
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array([b"1"]), pa.array([b"2"])], ["id", "image", "image"]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    (item,) = read(Shard(path, "parquet", (files.look(path),)), SourceOptions())
    assert isinstance(item, Reject)
    assert item.error.startswith("no image column")


def test_a_dictionary_of_images_may_be_inside_a_struct_and_has_nulls(tmp_path):
    images = pa.array([b"1", None, b"1", b"333"]).dictionary_encode()
    struct = pa.StructArray.from_arrays([images, pa.array(["a", "b", "c", "d"])], ["bytes", "path"])
    items = read_table(tmp_path, {"image": struct}, max_bytes=2)
    assert items[::2] == [Record("a", b"1", 0), Record("c", b"1", 2)]
    assert [item.error for item in items[1::2]] == [
        "column 'image', the image, is null",
        "3 bytes, more than corpus.max_bytes allows: 2",
    ]


def test_of_two_columns_of_metadata_of_one_name_none_is_taken(tmp_path):
    columns = [pa.array([value]) for value in ("a", b"1", "x", "y")]
    pq.write_table(pa.Table.from_arrays(columns, ["id", "image", "f", "f"]), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    options = SourceOptions(metadata={"f": "string"})
    (item,) = read(Shard(path, "parquet", (files.look(path),)), options)
    assert item.error.startswith("corpus.metadata.f: expected one column 'f'. Columns found: id (string)")


def metadata_of(tmp_path, column: pa.Array, kind: str):
    (item,) = read_table(tmp_path, {"id": ["a"], "jpg": [b"1"], "f": column}, metadata={"f": kind})
    return item.metadata["f"] if isinstance(item, Record) else item.error


UTC = timezone.utc


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "uint64", 2**64 - 1),
        (pa.array([Decimal("1.10")], pa.decimal128(5, 2)), "decimal(10,3)", Decimal("1.100")),
        (pa.array([Decimal("1.10")], pa.decimal256(50, 2)), "decimal(10,2)", Decimal("1.10")),
        (pa.array([Decimal("0E-20")], pa.decimal128(38, 20)), "decimal(5,0)", Decimal("0")),
        (pa.array([19000], pa.date32()), "date", date(2022, 1, 8)),
        (pa.array([19000 * 86_400_000], pa.date64()), "date", date(2022, 1, 8)),
        (pa.array([1], pa.timestamp("s")), "timestamp", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (
            pa.array([1], pa.timestamp("us", "Europe/Berlin")),
            "timestamp",
            datetime(1970, 1, 1, 0, 0, 0, 1, UTC),
        ),
        (pa.array([1000], pa.timestamp("ns", "+05:30")), "timestamp", datetime(1970, 1, 1, 0, 0, 0, 1, UTC)),
        (pa.array(["x"], pa.large_string()), "string", "x"),
        (pa.array(["x"]).dictionary_encode(), "string", "x"),
        (pa.array([["x", ""]]), "list<string>", ["x", ""]),
        (pa.array([[1, 2]], pa.large_list(pa.int8())), "list<int64>", [1, 2]),
        (pa.array([[1.5, 2]], pa.list_(pa.float32(), 2)), "list<float64>", [1.5, 2.0]),
        (pa.array(['["x"]']), "list<string>", ["x"]),
        (pa.array([[19000]], pa.list_(pa.date32())), "list<string>", ["2022-01-08"]),
        (pa.array([[Decimal("1.10")]], pa.list_(pa.decimal128(5, 2))), "list<string>", ["1.10"]),
        (pa.array([None], pa.null()), "date", None),
        (pa.array([19000], pa.date32()), "string", "2022-01-08"),
        (pa.array([Decimal("1.10")], pa.decimal128(5, 2)), "string", "1.10"),
    ],
)
def test_columns_of_other_writers_become_what_is_declared(tmp_path, column, kind, expected):
    assert metadata_of(tmp_path, column, kind) == expected


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1], pa.timestamp("ns")), "timestamp"),
        (pa.array([Decimal("1.123")], pa.decimal128(5, 3)), "decimal(5,2)"),
        (pa.array([1.5]), "decimal(5,2)"),
        (pa.array([2**63], pa.uint64()), "int64"),
        (pa.array([["x", None]]), "list<string>"),
        (pa.array([[b"\xff"]], pa.list_(pa.binary())), "list<string>"),
        (pa.array([1], pa.timestamp("s")), "date"),
        (pa.array([2**60 + 1]), "float64"),
    ],
)
def test_what_would_lose_something_is_refused(tmp_path, column, kind):
    assert f"metadata field 'f' does not fit {kind}" in metadata_of(tmp_path, column, kind)


def test_a_list_is_read_where_lists_are_declared_only(tmp_path):
    assert "corpus.metadata.f: expected a column of single values" in metadata_of(
        tmp_path, pa.array([[1]]), "int64"
    )
    assert "corpus.metadata.f: expected a column of lists or text" in metadata_of(
        tmp_path, pa.array([{"a": 1}]), "list<int64>"
    )


def test_a_list_of_nulls_without_end_rejects_its_rows(tmp_path):
    """30 million of them, 8 kB of a file, took 1.4 GB."""
    count = (64 << 20) // 8 + 1
    lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.int64()))
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["a"], "image": [b"x"], "tags": lists})
    pq.write_table(table, path, data_page_size=1 << 30, store_schema=False)
    shard = Shard("a.parquet", "parquet", (files.look(str(path)),))
    (reject,) = read(shard, SourceOptions(metadata={"tags": "list<int64>"}))
    assert "bytes beside the image, more than 67,108,864" in reject.error
