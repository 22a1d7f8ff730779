"""What changed between two tables of answers, against dictionaries."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.standing.changes import APPLY, SCHEMA, apply_changes, write_changes
from tests.support.places import ROOT

COLUMNS = {"query_id": pa.string(), "rank": pa.int32(), "item_id": pa.string(), "score": pa.float32()}
IDS = ("", "a", "A", "b\0", "é", "e\u0301", "'", "10", "9")
SCORES = st.sampled_from([0.0, -0.0, 0.5, float(np.nextafter(np.float32(0.5), np.float32(1)))])


def answers(rows: dict[str, dict[str, float]]) -> pa.Table:
    """Query -> item -> score, in order, as a table of results."""
    flat = [
        (query, rank, item, score)
        for query, items in rows.items()
        for rank, (item, score) in enumerate(items.items(), 1)
    ]
    columns = list(zip(*flat, strict=True)) or [[]] * 4
    return pa.table(columns, schema=pa.schema(COLUMNS))


def changed(folder, before: pa.Table | None, after: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    for name, table in (("before", before), ("after", after)):
        if table is not None:
            pq.write_table(table, folder / name, row_group_size=max(3, len(table) // 10))
    path = folder / "changes.parquet"
    counts = write_changes(
        None if before is None else str(folder / "before"), str(folder / "after"), str(path)
    )
    return pq.read_table(path), counts


def expected(before: pa.Table, after: pa.Table) -> list[tuple]:
    """The same by dictionaries."""
    old, new = (
        {(q, i): (r, s) for q, r, i, s in zip(*table.to_pydict().values(), strict=True)}
        for table in (before, after)
    )
    queries = list(dict.fromkeys([*after["query_id"].to_pylist(), *before["query_id"].to_pylist()]))
    rows = []
    for key in old.keys() | new.keys():
        was, now = old.get(key, (None, None)), new.get(key, (None, None))
        if was[0] == now[0] and np.float32(was[1]).tobytes() == np.float32(now[1]).tobytes():
            continue
        change = "entered" if was[0] is None else "left" if now[0] is None else "moved"
        rows.append((*key, change, was[0], now[0], was[1], now[1]))
    return sorted(rows, key=lambda row: (queries.index(row[0]), row[4] is None, row[4] or row[3]))


tables = st.dictionaries(
    st.sampled_from(IDS), st.dictionaries(st.sampled_from(IDS), SCORES, max_size=4), max_size=4
).map(answers)


@given(before=tables, after=tables)
@settings(max_examples=15)
def test_changes_are_those_of_a_comparison_row_by_row_and_make_the_answers_after_of_those_before(
    tmp_path_factory, before, after
):
    table, counts = changed(tmp_path_factory.mktemp("tables"), before, after)
    wanted = expected(before, after)
    assert table.schema == SCHEMA
    assert list(map(repr, zip(*table.to_pydict().values(), strict=True))) == list(map(repr, wanted))
    kinds = [row[2] for row in wanted]
    assert counts == {kind: kinds.count(kind) for kind in ("entered", "left", "moved")}

    made = apply_changes(before, table)
    sorted_after = after.sort_by([("query_id", "ascending"), ("rank", "ascending")])
    assert made.drop(["score"]).equals(sorted_after.drop(["score"]))
    bits = [column["score"].combine_chunks().view(pa.int32()) for column in (made, sorted_after)]
    assert bits[0].equals(bits[1])


def test_without_answers_before_all_have_entered(tmp_path):
    after = answers({"b": {"x": 0.9, "y": 0.8}, "a": {"x": 0.7}})
    table, counts = changed(tmp_path, None, after)
    assert counts == {"entered": 3, "left": 0, "moved": 0}
    assert table["query_id"].to_pylist() == ["b", "b", "a"]
    assert table["rank_before"].null_count == table["score_before"].null_count == 3


def test_the_order_is_that_of_the_queries_then_of_ranks(tmp_path):
    before = answers({"gone": {"x": 0.9}, "a": {"x": 0.9, "y": 0.8, "z": 0.7}, "b": {"x": 0.5}})
    after = answers({"b": {"y": 0.6, "x": 0.5}, "a": {"z": 0.7}})
    table, _ = changed(tmp_path, before, after)
    told = list(zip(*(table[name].to_pylist() for name in ("query_id", "item_id", "change")), strict=True))
    assert told == [
        ("b", "y", "entered"),
        ("b", "x", "moved"),
        ("a", "z", "moved"),
        ("a", "x", "left"),
        ("a", "y", "left"),
        ("gone", "x", "left"),
    ]


def test_many_rows_are_compared_in_parts_and_give_the_same_bytes(tmp_path):
    size = 70_000
    queries = [f"q{n // 10}" for n in range(size)]
    ranks = np.tile(np.arange(1, 11, dtype=np.int32), size // 10)
    items = np.array([f"i{n % 997}" for n in range(size)])
    rows = pa.table([queries, ranks, items, np.ones(size, np.float32)], schema=pa.schema(COLUMNS))
    other = rows.set_column(3, "score", pa.array(np.where(np.arange(size) % 7, 1, 0.5).astype(np.float32)))
    _, counts = changed(tmp_path, rows, other)
    data = (tmp_path / "changes.parquet").read_bytes()
    assert counts == {"entered": 0, "left": 0, "moved": size // 7}
    changed(tmp_path, rows, other)
    assert (tmp_path / "changes.parquet").read_bytes() == data


def test_a_damaged_table_is_named_and_leaves_no_changes(tmp_path):
    (tmp_path / "before").write_bytes(b"no parquet")
    with pytest.raises(LookalikeError, match="before is not a whole Parquet file"):
        changed(tmp_path, None, answers({})) and write_changes(
            str(tmp_path / "before"), str(tmp_path / "after"), str(tmp_path / "other.parquet")
        )
    assert not (tmp_path / "other.parquet").exists()


def test_changes_of_changes_add_up(tmp_path):
    nights = [
        answers({"a": {item: 0.9 - n / 10 for n, item in enumerate(some)}})
        for some in itertools.permutations("xyz", 2)
    ]
    made = nights[0]
    for before, after in itertools.pairwise(nights):
        made = apply_changes(made, changed(tmp_path, before, after)[0])
        assert made.equals(after)


def test_the_page_shows_how_changes_are_applied():
    assert APPLY in (ROOT / "docs" / "recipes" / "standing-queries.md").read_text("utf-8")
