"""What a query job says of itself."""

from dataclasses import replace

from lookalike.model.encoder.post_processing import PostProcessing, QueryExpansion
from lookalike.query.report import QuerySummary, query_report

ONE = QuerySummary(
    "20260101T000000Z-1", PostProcessing(), 1_200, 0, {}, 12_000, "out/r.csv", "out/f.csv", {"open": 0.5}
)


def test_every_query_is_in_one_of_the_two_tables():
    assert query_report(ONE).splitlines() == [
        "queries      1,200 read = 1,200 answered + 0 failed",
        "generation   20260101T000000Z-1",
        "seconds      open 0.50",
        "results      out/r.csv (12,000 rows)",
        "failures     out/f.csv",
    ]


def test_reasons_and_steps_have_a_line_where_there_are_any():
    text = query_report(
        replace(
            ONE,
            failed=3,
            reasons={"decode": 2, "id": 1},
            why="2: empty file; 1: the id is not UTF-8",
            steps=PostProcessing(query_expansion=QueryExpansion(k=5)),
        )
    )
    assert "queries      1,203 read = 1,200 answered + 3 failed\n" in text
    assert "failed       2: empty file; 1: the id is not UTF-8\n" in text
    assert "steps        query expansion 5,3\n" in text
