"""Rows of a page of answers: what is told of a query and each of its matches."""

from __future__ import annotations

import pytest

from lookalike.pages import result_tables
from lookalike.pages.album import ITEM, QUERY, Album
from lookalike.pages.answer_rows import Found, RowMaker, ids_of, rows_of
from lookalike.pages.relevance import Relevance
from lookalike.pages.result_tables import AnswerTables
from tests.pipelines.pages.test_overview import FOUND, write

PLAIN = AnswerTables("", "", "parquet", ("query_id", "rank", "item_id", "score", "title", "asked"))
ROW = {"query_id": "q", "rank": 1, "item_id": "a", "score": 0.5, "title": "T", "asked": [1.5, "x"]}


@pytest.mark.parametrize("block", [1, 2, 100])
def test_rows_of_some_queries_are_found_by_position(tmp_path, monkeypatch, block: int) -> None:
    monkeypatch.setattr(result_tables, "_ROWS", block)
    rows = rows_of(write(tmp_path), [2, 0])
    found = {
        n: [(row["query_id"], row["rank"], row["item_id"]) for row in some.rows] for n, some in rows.items()
    }
    for number, query_id in ((0, "a"), (2, "c")):
        assert found[number] == [(query_id, n, item) for n, (item, _) in enumerate(FOUND[query_id], 1)]
    assert ids_of(rows, [2, 0]) == (["c", "a"], ["y", "x", "z"])


def test_columns_of_the_catalogue_stand_at_the_match_and_others_at_the_query() -> None:
    row = RowMaker(Album(), PLAIN, ("title",), True).make(Found([ROW], 1))
    assert row.facts == [("asked", "1.5, x")]
    assert row.matches[0].facts == [("title", "T")]
    assert (row.matches[0].score, row.matches[0].title) == ("0.500", "score 0.5000")


def test_a_probability_goes_before_the_score() -> None:
    tables = AnswerTables("", "", "csv", ("query_id", "rank", "item_id", "score", "probability"))
    row = {"query_id": "q", "rank": 1, "item_id": "a", "score": 3.0, "probability": 0.625}
    (match,) = RowMaker(Album(), tables, (), False).make(Found([row], 1)).matches
    assert (match.score, match.title) == ("62%", "probability 0.625, distance 3.0000")


def test_frames_tell_relevance_where_it_is_known() -> None:
    for known, frame in ((True, "good"), (False, "bad"), (None, "")):
        relevance = Relevance("r", lambda *_, known=known: known)
        row = RowMaker(Album(), PLAIN, (), True, relevance).make(Found([ROW], 1))
        assert (row.matches[0].frame, row.wrong) == (frame, known is False)


def test_marks_tell_the_same_picture_and_new_items(pictures) -> None:
    album = Album()
    album.add(QUERY, [("q", pictures["p00.jpg"])])
    album.add(ITEM, [("a", pictures["p00.jpg"]), ("b", pictures["p01.jpg"])])

    def marks(item_id: str, score: float, is_cosine: bool = True) -> list[str]:
        maker = RowMaker(album, PLAIN, (), is_cosine, new={"b"})
        row = maker.make(Found([ROW | {"item_id": item_id, "score": score}], 1))
        return [text for _, text in row.matches[0].marks]

    assert marks("a", 0.5) == ["same picture"]
    assert marks("b", 0.5) == ["new"]
    assert marks("b", 1.0) == ["same picture", "new"]
    assert marks("b", 1.0, is_cosine=False) == ["new"]


@pytest.mark.parametrize("block", [1, 2, 100])
def test_of_many_matches_the_first_are_shown_and_the_others_counted(
    tmp_path, monkeypatch, block: int
) -> None:
    monkeypatch.setattr(result_tables, "_ROWS", block)
    monkeypatch.setattr("lookalike.pages.answer_rows.MATCHES", 2)
    found = rows_of(write(tmp_path), [0, 1])
    rows = [RowMaker(Album(), PLAIN, (), True).make(found[number]) for number in (0, 1)]
    assert [(len(row.matches), row.more) for row in rows] == [(2, 1), (1, 0)]


def test_long_values_are_cut_and_few_fields_are_shown() -> None:
    row = ROW | {f"field{n}": "x" * 500 for n in range(100)}
    facts = RowMaker(Album(), PLAIN, (), True).make(Found([row], 1)).facts
    assert len(facts) == 12
    assert max(len(value) for _, value in facts) == 201
