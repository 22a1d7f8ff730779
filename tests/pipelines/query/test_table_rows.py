"""Rows of a query table: what each asks with, its query and box, and a reason for each that asks nothing."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.query import table_rows, vector_files
from lookalike.query.query_table import form_of, open_table
from lookalike.query.table_rows import OURS, carried_of, read_table


def read(path, size: int = 100, dim: int = 2) -> list[pa.Table]:
    info = files.look(str(path))
    return list(read_table(open_table([info], form_of(info.path) or "csv"), size, dim, "f" * 64))


@pytest.fixture
def rows(tmp_path):
    """rows(content, name): the rows of one table, as lists by column."""

    def of(content: str | bytes | pa.Table, name: str = "t.csv", **options) -> dict[str, list]:
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return pa.concat_tables(read(path, **options)).to_pydict()

    return of


def test_rows_of_one_query_id_have_the_number_of_the_first(rows):
    found = rows("query_id,path\na,x\na,x\nb,x\na,x\n,x\n,x\n")
    assert found["query_id"] == ["a", "a", "b", "a", "4", "5"]
    assert found["number"] == [0, 0, 2, 3, 4, 5]
    assert found["stage"] == [None] * 4 + ["id"] * 2


def test_without_ids_rows_are_numbered_and_each_is_a_query(rows):
    found = rows("path\nx\nx\n")
    assert (found["query_id"], found["number"]) == (["0", "1"], [0, 1])
    assert rows("item_id\nx\nx\n")["number"] == [0, 1]


@given(st.lists(st.sampled_from("aabbc"), min_size=1, max_size=12), st.integers(1, 4))
def test_no_query_is_cut_in_two_and_blocks_are_no_larger_than_that_takes(tmp_path_factory, ids, size):
    path = tmp_path_factory.mktemp("t") / "t.jsonl"
    path.write_text("".join(json.dumps({"query_id": i, "path": "x"}) + "\n" for i in ids))
    blocks = [block["number"].to_pylist() for block in read(path, size)]
    numbers = [number for block in blocks for number in block]
    assert len(numbers) == len(ids)
    assert all(one[-1] < other[0] for one, other in itertools.pairwise(blocks))
    assert all(len(block) <= size or len(set(block)) == 1 for block in blocks)


def test_a_query_of_too_many_rows_fails_and_the_rest_of_them_is_not_held(rows, monkeypatch):
    monkeypatch.setattr(table_rows, "MOST_PICTURES", 2)
    found = rows("query_id,path\n" + "a,x\n" * 9 + "b,x\n")
    assert found["query_id"] == ["a", "a", "a", "b"]
    assert found["error"] == [None, None, "expected at most 2 rows of one query. Received: more", None]


def test_paths_begin_at_the_folder_of_the_table(rows, tmp_path):
    found = rows('path\na b.jpg\n../x.jpg\n/y.jpg\ns3://b/z.jpg\nfile:///w.jpg\n""\n')
    assert found["value"] == [
        *(f"{tmp_path}/a b.jpg", f"{tmp_path}/../x.jpg", "/y.jpg", "s3://b/z.jpg", "file:///w.jpg", None)
    ]
    assert found["error"][-1] == "the path is empty"


@pytest.mark.parametrize(
    ("value", "edges"),
    [
        ("1,2,3,4", [1, 2, 4, 6]),
        (" [1.4, 1.5, 3, 4] ", [1, 2, 4, 6]),
        ("(-5,0,10,1e30)", [-5, 0, 5, 1 << 30]),
        ("", None),
        ("1,2,3", "Received: '1,2,3'"),
        ("a,2,3,4", "expected a box [x, y, width, height]. Received: 'a,2,3,4'"),
        ("1,2,0,4", "of some width and height"),
        ("1,2,nan,4", "of some width and height"),
        ("1,2,-3,4", "of some width and height"),
    ],
)
def test_boxes_in_text(rows, value, edges):
    found = rows(f'path,box\nx,"{value}"\nx,\n')
    if isinstance(edges, str):
        assert found["stage"] == ["box", None]
        assert edges in found["error"][0]
    elif value:
        assert found["box"] == [edges, None]


@pytest.mark.parametrize(
    "value", [[1, 2, 3, 4], {"x": 1, "y": 2, "width": 3, "height": 4}, "1,2,3,4", [1.2, 1.9, 2.6, 3.9]]
)
def test_boxes_in_json_and_parquet(rows, value):
    assert rows(json.dumps({"path": "x", "box": value}), "t.jsonl")["box"] == [[1, 2, 4, 6]]
    assert rows(pa.table({"path": ["x"], "box": [value]}), "t.parquet")["box"] == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    "value", [[1, 2, 3], [1, 2, 3, True], {"x": 1}, 5, True, [None] * 4, [[1]] * 4, "", {}]
)
def test_boxes_that_are_none(rows, value):
    found = rows(json.dumps({"path": "x", "box": value}), "t.jsonl")
    assert found["error"][0].startswith("expected a box [x, y, width, height]. Received: ")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([0.5, 2], None),
        ("[0.5, 2]", None),
        ([1e300, 1], None),
        ([10**400, 1], None),
        ([1], "expected a vector of 2 numbers, received 1"),
        (None, "the vector is null"),
        ("", "expected a list of numbers such as [0.1, 0.2]: Expecting value"),
        ("[1, 2", "expected a list of numbers such as [0.1, 0.2]: Expecting"),
        ("[" * 100_000, "expected a list of numbers such as [0.1, 0.2]: "),
        ([1, "2"], "expected a list of numbers. Received: [1, '2']"),
        ([1, True], "expected a list of numbers"),
        ([1, [2]], "expected a list of numbers"),
        (5, "expected a list of numbers. Received: 5"),
    ],
)
def test_vectors_in_json(rows, value, error):
    found = rows(json.dumps({"vector": value, "n": 1}) + '\n{"vector": [1, 2]}', "t.jsonl")
    if error:
        assert found["error"][0].startswith(error)
    else:
        assert found["error"] == [None, None]
    assert found["value"][1] == [1, 2]


def test_vectors_in_csv_and_parquet(rows):
    assert rows('vector\n"[0.5, 1]"\nx\n')["value"] == [[0.5, 1], [0, 0]]
    vectors = pa.array([[0.5, 1], [1], None], pa.list_(pa.float64()))
    found = rows(pa.table({"vector": vectors, "n": [1, 2, 3]}), "t.parquet")
    assert found["value"][0] == [0.5, 1]
    assert found["error"] == [None, "expected a vector of 2 numbers, received 1", "the vector is null"]


def test_images_in_text_are_base64(rows):
    found = rows('image\n"aGk=\n"\na\n')
    assert found["value"] == [b"hi", None]
    assert found["error"][1].startswith("the image is not base64: ")
    found = rows('{"image": "aGk="}\n{"image": 5}\n{"image": null}', "t.jsonl")
    assert found["value"] == [b"hi", None, None]
    assert found["error"] == [None, "expected an image in base64. Received: 5", "the image is null"]


@pytest.mark.parametrize("column", [[b"hi", None], [{"bytes": b"hi", "path": "x"}, None], ["aGk=", None]])
def test_images_in_parquet(rows, column):
    found = rows(pa.table({"query_id": ["a", "b"], "image": column}), "t.parquet")
    assert found["value"] == [b"hi", None]


def test_ids_of_other_types_are_text(rows):
    found = rows(
        '{"query_id": 7, "path": "x"}\n{"query_id": "\\ud800", "path": "x"}\n{"query_id": [1], "path": ""}',
        "t.jsonl",
    )
    assert found["query_id"] == ["7", "\\ud800", "[1]"]
    found = rows(pa.table({"query_id": [7, None], "path": ["x", "y"]}), "t.parquet")
    assert (found["query_id"], found["stage"]) == (["7", "1"], [None, "id"])
    found = rows('{"item_id": 7}\n{"item_id": true}\n{"item_id": null}\n{"item_id": "\\ud800"}', "t.jsonl")
    assert found["value"] == ["7", None, None, None]
    assert found["error"][1] == "the item_id cannot be used: expected text. Received: bool"


def test_carried_values_keep_their_types(rows):
    found = rows('{"path": "x", "a": 1, "b": "7", "c": [1.5]}\n{"path": "y", "a": 2.5}', "t.jsonl")
    assert [found[name] for name in "abc"] == [[1, 2.5], ["7", None], [[1.5], None]]
    assert rows('path,a,b\nx,007,""\n')["a"] == ["007"]
    table = pa.table({"path": ["x"], "a": pa.array([1], pa.int8()), "b": pa.array(["z"]).dictionary_encode()})
    assert [rows(table, "t.parquet")[name] for name in "ab"] == [[1], ["z"]]
    found = rows(pa.table({"path": ["x"], "t": pa.array([1_500], pa.timestamp("ns"))}), "t.parquet")
    assert found["t"][0].microsecond == 1


FAR = pa.array([2**62], pa.timestamp("us"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"query_id": FAR, "path": ["x"]}, r"Received: timestamp\[us\]: "),
        ({"item_id": pa.array([1], pa.timestamp("us", "Nowhere/At"))}, "Nowhere/At"),
        ({"path": ["x"], "box": pa.array([[2**62]], pa.list_(FAR.type))}, r"Received: list<.*timestamp"),
        (
            {"path": ["x"], "until": FAR},
            r"t\.parquet: expected timestamp\[us, tz=UTC\] in 'until'\. Received: ",
        ),
        ({"path": ["x"], "until": FAR.cast("int64").cast(pa.timestamp("ms"))}, "in 'until'. Received: "),
        (
            {"path": ["x"], "day": pa.array([2**31 - 1], pa.date32())},
            "expected date32.day. in 'day'. Received: ",
        ),
    ],
)
def test_a_time_that_no_table_can_spell_is_a_sentence(rows, columns, message):
    with pytest.raises(LookalikeError, match=message):
        rows(pa.table(columns), "t.parquet")


def test_our_columns_stand_before_what_is_carried_whatever_its_name(tmp_path):
    (tmp_path / "t.csv").write_text("path,value,box_,number\nx,a,b,c\n")
    (block,) = read(tmp_path / "t.csv")
    assert tuple(block.column_names[: len(OURS)]) == OURS
    assert carried_of(block).to_pydict() == {"value": ["a"], "box_": ["b"], "number": ["c"]}
    (tmp_path / "u.csv").write_text("path\nx\n")
    assert carried_of(read(tmp_path / "u.csv")[0]) is None


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (
            "path,a\nx,1\ny\n",
            "t.csv",
            "expected CSV with commas and a header, in UTF-8. Received: CSV parse error",
        ),
        (b"path\ncaf\xe9\n", "t.csv", "expected CSV with commas and a header, in UTF-8"),
        (b'{"path": "caf\xe9"}', "t.jsonl", "expected JSON in line 1"),
        (b"\xff\xfe\x00", "t.csv", "Expected text in UTF-8 or UTF-16"),
        (
            '{"path": "x", "n": 9007199254740993}\n{"path": "y", "n": 0.5}',
            "t.jsonl",
            "expected double in 'n' of line 1",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence(rows, content, name, said):
    with pytest.raises(LookalikeError) as error:
        rows(content, name)
    assert said in str(error.value)


def not_utf8(*texts: bytes, kind: pa.DataType) -> pa.Array:
    stored = pa.array(texts, pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
    return pa.Array.from_buffers(kind, len(texts), stored.buffers())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("name", ["path", "item_id"])
def test_of_names_in_parquet_one_that_is_not_utf8_fails_alone(rows, name, kind):
    names = not_utf8(b"caf\xe9", b"z", kind=kind)
    found = rows(pa.table({"query_id": ["a", "b"], name: names, "note": ["y", "z"]}), "t.parquet")
    assert found["query_id"] == ["a", "b"]
    assert found["error"] == [f"the {name} cannot be used: not UTF-8 at byte 3", None]


def test_of_ids_in_parquet_that_are_the_queries_one_that_is_not_utf8_fails_alone(rows):
    found = rows(pa.table({"item_id": not_utf8(b"caf\xe9", b"z", kind=pa.string())}), "t.parquet")
    assert found["query_id"] == ["caf\\xe9", "z"]
    assert found["error"] == ["the id is not UTF-8", None]


def test_text_in_parquet_that_is_not_utf8_is_a_sentence(rows):
    note = not_utf8(b"caf\xe9", kind=pa.string())
    with pytest.raises(LookalikeError, match="is not a whole Parquet file: Invalid UTF8"):
        rows(pa.table({"path": ["x"], "note": note}), "t.parquet")


def test_what_is_no_object_is_shown_in_short(rows):
    with pytest.raises(LookalikeError) as told:
        rows('"' + "A" * 100_000 + '"', "t.jsonl")
    assert len(str(told.value)) < 1000


def test_a_line_that_is_too_long_is_a_sentence(rows, monkeypatch):
    monkeypatch.setattr(table_rows, "MOST_ROW", 100)
    with pytest.raises(LookalikeError, match="Expected lines of at most 100 bytes"):
        rows('{"path": "x"}\n' + json.dumps({"path": "y" * 200}), "t.jsonl")
    with pytest.raises(LookalikeError, match="expected CSV with commas and a header"):
        rows("path,a\n" + "x," + "y" * 500 + "\n" + "x,z\n" * 100)


def test_files_in_utf_16_are_read(rows):
    assert rows("query_id,path\nü,x\n".encode("utf-16"))["query_id"] == ["ü"]
    assert rows('{"query_id": "ü", "path": "x"}'.encode("utf-16"), "t.jsonl")["query_id"] == ["ü"]
    assert rows("query_id,path\r\nü,x\r\n".encode("utf-8-sig"))["query_id"] == ["ü"]


def test_vectors_of_another_encoder_are_refused(tmp_path):
    table = pa.table({"vector": [[0.5, 1.0]], "n": [1]}).replace_schema_metadata(
        {"lookalike.encoder": "e" * 64}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(LookalikeError, match="holds vectors of the encoder eeeeeeeeeeeeeeee"):
        read(tmp_path / "t.parquet")


def test_long_lines_of_json_are_not_held_together(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "_MOST_BYTES", 3000)
    line = json.dumps({"path": "x", "tags": ["y"] * 200})
    (tmp_path / "t.jsonl").write_text(f"{line}\n" * 9)
    assert [
        [number for number, _ in block] for block in table_rows._in_steps(str(tmp_path / "t.jsonl"), 100)
    ] == [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
    ]


@pytest.mark.slow
def test_a_small_parquet_file_of_very_much_text_is_refused(tmp_path):
    text = pa.DictionaryArray.from_arrays(np.zeros(4096, np.int32), ["x" * 100_000])
    pq.write_table(pa.table({"path": ["a"] * 4096, "note": text}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 200_000
    with pytest.raises(
        LookalikeError, match=r"at most 268,435,456 bytes of a column in 4,096 rows\. Received: 409,600"
    ):
        read(tmp_path / "t.parquet")
    count = vector_files._MOST_BESIDE + 2
    tags = pa.ListArray.from_arrays(
        pa.array([0, count], pa.int32()),
        pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([0], pa.int64())),
    )
    pq.write_table(pa.table({"path": ["a"], "tags": tags}), tmp_path / "t.parquet")
    with pytest.raises(LookalikeError, match=r"one value or a few in a row\. Received: 67,108,866 values"):
        read(tmp_path / "t.parquet")


def test_of_large_images_in_a_dictionary_few_rows_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "_MOST_BYTES", 2 << 20)
    large = pa.DictionaryArray.from_arrays(np.zeros(40, np.int32), pa.array([bytes(1 << 20)]))
    small = pa.array([b"small"] * 40)
    for images, most in ((large, 1), (small, 16)):
        pq.write_table(
            pa.table({"query_id": list(map(str, range(40))), "image": images}), tmp_path / "t.parquet"
        )
        table = open_table([files.look(str(tmp_path / "t.parquet"))], "parquet")
        sizes = list(map(len, table_rows._Reader(table, 2, "", None).rows()))
        assert (sum(sizes), max(sizes)) == (40, most)


@pytest.mark.parametrize("name", ["path", "query_id"])
def test_a_small_parquet_file_of_very_many_bytes_is_refused(tmp_path, name):
    column = pa.DictionaryArray.from_arrays(np.zeros(4096, np.int32), pa.array([b"x" * 100_000]))
    pq.write_table(pa.table({"path": ["a"] * 4096} | {name: column}), tmp_path / "t.parquet")
    with pytest.raises(LookalikeError, match=r"at most 268,435,456 bytes of a column in 4,096 rows"):
        read(tmp_path / "t.parquet")


def test_rows_of_later_blocks_are_numbered_on(rows, monkeypatch):
    monkeypatch.setattr(table_rows, "_MANY", 2)
    found = rows('{"path": "x"}\n' * 5, "t.jsonl")
    assert (found["query_id"], found["number"]) == (list("01234"), [0, 1, 2, 3, 4])


def test_a_row_whose_id_cannot_be_used_is_a_query_of_its_own_whatever_it_is_called(rows):
    found = rows("query_id,path\n,x\n0,x\n")
    assert (found["query_id"], found["number"], found["stage"]) == (["0", "0"], [0, 1], ["id", None])
    damaged = pa.array([b"\xe9", b"\xe9"]).view(pa.string())
    found = rows(pa.table({"query_id": damaged, "path": ["x", "x"]}), "t.parquet")
    assert (found["number"], found["stage"]) == ([0, 1], ["id", "id"])


def test_rows_of_one_item_are_not_one_query_as_those_of_one_query_id_are(rows):
    table = {"item_id": ["a", "a"], "vector": [[1.0, 0.0], [0.0, 1.0]], "title": ["x", "y"]}
    found = rows(pa.table(table), "t.parquet")
    assert (found["query_id"], found["number"]) == (["a", "a"], [0, 1])


def test_a_row_that_has_words_needs_no_picture(rows):
    found = rows("path,text\n,red\nx,\n,\n")
    assert found["stage"] == [None, None, "read"]


def test_columns_of_a_parquet_file_are_looked_at_before_they_are_unpacked(rows, monkeypatch):
    monkeypatch.setattr(vector_files, "_MOST_PAGE", 1 << 10)
    with pytest.raises(LookalikeError, match=r"a few in a row\. Received: 1 values"):
        rows(pa.table({"path": ["x" * 4096]}), "t.parquet")
