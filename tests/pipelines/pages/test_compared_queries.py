"""Queries by what each side found: every query in one section, the most telling first."""

from __future__ import annotations

import pyarrow as pa

from lookalike.pages.compared_queries import BOTH, NEITHER, ONLY_FIRST, ONLY_SECOND, compare


def side(**queries: tuple[int, float]) -> pa.Table:
    """Query -> whether its first match is relevant, and its average precision."""
    return pa.table(
        {
            "query_id": list(queries),
            "map": [order for _, order in queries.values()],
            "top": [["x", "y"] for _ in queries],
            "top_grades": pa.array([[grade, 0] for grade, _ in queries.values()], pa.list_(pa.int8())),
        }
    )


FIRST = side(a=(1, 0.9), b=(0, 0.1), c=(0, 0.2), d=(1, 0.8), e=(0, 0.3), alone=(1, 1.0))
SECOND = side(e=(0, 0.0), d=(1, 0.7), c=(1, 0.9), b=(1, 0.2), a=(0, 0.1), other=(1, 1.0))


def ids(found, name: str) -> list[list[str]]:
    return [[row["query_id"] for row in rows] for rows in found.sections[name]]


def test_queries_are_paired_and_each_is_in_one_section() -> None:
    found = compare([FIRST, SECOND], 100)
    assert found.counts == {ONLY_SECOND: 2, ONLY_FIRST: 1, NEITHER: 1, BOTH: 1}
    assert ids(found, ONLY_SECOND) == [["c", "c"], ["b", "b"]]
    assert ids(found, ONLY_FIRST) == [["a", "a"]]
    assert ids(found, NEITHER) == [["e", "e"]]
    assert [rows[1]["map"] for rows in found.sections[BOTH]] == [0.7]


def test_of_one_side_what_is_not_found_comes_first() -> None:
    found = compare([FIRST], 2)
    assert found.counts == {NEITHER: 3, BOTH: 3}
    assert (ids(found, NEITHER), ids(found, BOTH)) == ([["b"]], [["d"]])


def test_no_more_are_shown_than_are_wanted_and_every_section_has_its_share() -> None:
    found = compare([FIRST, SECOND], 3)
    assert sum(map(len, found.sections.values())) == 3
    assert len(found.sections[ONLY_SECOND]) == 1


def test_without_queries_there_is_nothing_to_show() -> None:
    found = compare([side(), side()], 10)
    assert set(found.counts.values()) == {0}
