"""What queries of a table ask with, to be looked at: of each the first row."""

from __future__ import annotations

from lookalike.model.images.boxes import Box, PartOfImage
from lookalike.query.query_files import query_table
from lookalike.query.table_pictures import table_items, table_pictures
from lookalike.sources import SourceOptions


def test_pictures_of_the_wanted_queries_are_read_and_what_is_missing_left_out(tmp_path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_bytes(name.encode())
    table = tmp_path / "queries.csv"
    table.write_text(
        'query_id,path,box\na,one,\na,two,\nb,two,"[1,2,3,4]"\nc,gone,\nd,three,"[0]"\ne,three,\n'
    )
    found = dict(table_pictures(query_table(str(table)), SourceOptions(), ["a", "b", "c", "d"]))
    assert found == {"a": b"one", "b": PartOfImage(b"two", Box(1, 2, 4, 6))}


def test_items_that_queries_ask_with(tmp_path) -> None:
    table = tmp_path / "queries.csv"
    table.write_text("query_id,item_id\na,x\na,y\nb,\nc,z\n")
    assert table_items(query_table(str(table)), ["a", "b"]) == {"a": "x"}
