"""Conditions of a query job: by flag and by job file, in one process, in stages and by workers, to the byte."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.answers import Answers
from lookalike.index.conditions import Conditions
from lookalike.index.post_processing import Asked
from lookalike.query.blocks import Block, Failure
from lookalike.query.matching import CheckFilters, is_filtered, without_matches
from tests.conftest import Job, picture
from tests.support.queries import corpus, noisy, refused

STAGES = ("--set", "query.memory=1")
WORKERS = ("--", "--runner=DirectRunner")
METADATA = {"price": "float64"}


@pytest.fixture(scope="module")
def parted(tmp_path_factory, encoder) -> Job:
    """40 items in several index shards, `number` counting them. Not to be changed."""
    job = Job(tmp_path_factory.mktemp("parted"), encoder)
    job.pack({f"{i:03}.jpg": picture(i) for i in range(40)}, per_shard=4)
    job.set(index={"shard_vectors": 16})
    job.nightly()
    assert len(job.generation["indexes"]) > 1
    return job


@pytest.fixture
def out(parted, tmp_path) -> Job:
    """The same job, whose tables and queries go to a folder of their own."""
    job = Job(tmp_path, parted.settings["encoder"])
    job.settings, job.store = {**parted.settings}, parted.store
    return job


def vectors(job):
    return job.vectors_file(noisy(corpus(job)[1], 9), [f"q{i}" for i in range(9)])


def answered(job, queries, *arguments):
    done = job.query(queries, *arguments)
    assert done.code == 0, done
    return [(job.folder / "out" / f"{name}.parquet").read_bytes() for name in ("results", "failures")]


@pytest.mark.parametrize("flags", [STAGES, pytest.param(WORKERS, marks=pytest.mark.slow)])
def test_all_conditions_at_once_give_the_same_bytes_however_it_is_done(out, flags):
    queries = vectors(out)
    conditions = ("--where", "number > 3", "--min-score", 0.1, "--group-by", "title", "--diversify", 0.5)
    expected = answered(out, queries, *conditions)
    assert all(row["number"] > 3 for row in out.results.to_pylist())
    assert answered(out, queries, *conditions, *flags) == expected
    settings = {"where": "number > 3", "min_score": 0.1, "group_by": "title", "diversify": 0.5}
    assert answered(out.set(query=settings), queries, *flags) == expected


def test_a_filter_leaves_what_passes_in_the_order_of_a_search_without_it(out):
    queries = vectors(out)
    answered(out, queries, "-k", 40)
    everything = out.results.to_pylist()
    answered(out, queries, "-k", 5, "--where", "number % 4 = 1")
    expected = []
    for query in dict.fromkeys(row["query_id"] for row in everything):
        of_query = [row for row in everything if row["query_id"] == query and row["number"] % 4 == 1]
        expected += [row | {"rank": rank} for rank, row in enumerate(of_query[:5], 1)]
    assert out.results.to_pylist() == expected


@pytest.mark.parametrize("flags", [(), STAGES])
def test_a_query_that_no_item_matches_is_a_failure(out, flags):
    ids, known = corpus(out)
    queries = out.vectors_file([known[3], -known[3]], ["like an item", "unlike all"])
    done = out.query(queries, "--min-score", 0.9999, *flags)
    assert done.code == 0, done
    assert [(row["query_id"], row["item_id"]) for row in out.results.to_pylist()] == [
        ("like an item", ids[3])
    ]
    failure = {"query_id": "unlike all", "stage": "match", "error": "no item meets the conditions"}
    assert out.failures == [failure]
    assert "2 read = 1 answered + 1 failed" in done.out
    assert out.query(queries, "--where", "false", *flags).code == 0  # that nothing is there is an answer


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--where", "colour = 'red'"), "there is no column colour"),
        (("--where", "number = 'x'"), "Could not convert string 'x'"),
        (("--where", "number ="), "syntax error"),
        (("--where", "number = query.number"), "there is no column query.number"),
        (("--group-by", "colour"), "Expected a field to group by"),
        (("--per-group", 2), "Expected a field to group by"),
        (("--max-distance", 1), "Expected a least score"),
    ],
)
def test_conditions_that_do_not_fit_end_in_a_sentence_before_the_search(out, flags, sentence):
    assert sentence in refused(out, vectors(out), *flags)


@pytest.mark.parametrize("flags", [(), STAGES])
def test_each_row_of_a_query_table_has_a_filter_of_its_own(out, flags):
    table = out.folder / "queries.csv"
    table.write_text(
        "query_id,item_id,where,least\n"
        "a,003.jpg,number < query.least::int,2\n"
        "b,003.jpg,,2\n"
        "c,003.jpg,number < colour,2\n"
        "d,004.jpg,number in (7),2\n"
        "d,005.jpg,number in (8),2\n"
    )
    assert out.query(table, "-k", 3, "--where", "number <> 3", *flags).code == 0
    found = {}
    for row in out.results.to_pylist():
        found.setdefault(row["query_id"], set()).add(row["number"])
    assert (found["a"], len(found["b"]), found["d"]) == ({0, 1}, 3, {7})
    assert 3 not in found["b"]
    ((query, stage),) = [(row["query_id"], row["stage"]) for row in out.failures]
    assert (query, stage) == ("c", "filter")


@pytest.mark.parametrize("flags", [(), STAGES])
def test_several_pictures_of_a_query_have_groups_and_diversity_together(out, flags):
    ids, _ = corpus(out)
    table = out.folder / "queries.csv"
    rows = zip("xxxy", ids, strict=False)
    table.write_text("query_id,item_id\n" + "".join(f"{query},{item}\n" for query, item in rows))
    assert out.query(table, "-k", 20, "--where", "number < 30", "--group-by", "number", *flags).code == 0
    rows = [row for row in out.results.to_pylist() if row["query_id"] == "x"]
    assert sorted(row["item_id"] for row in rows[:3]) == sorted(ids[:3])  # of 1, or a last bit less
    assert len({row["number"] for row in rows}) == len(rows) == 20
    assert out.query(table, "-k", 5, "--diversify", 1, *flags).code == 0
    plain = out.results
    assert out.query(table, "-k", 5, *flags).code == 0
    assert out.results.equals(plain)


def test_only_the_query_whose_own_filter_is_none_fails():
    columns = pa.table({"where": ["price < query.most", "colour = 1", None], "most": [1, 2, 3]})
    block = Block(["a", "b", "c"], np.eye(3, dtype=np.float32), np.arange(3), columns=columns)
    checked = CheckFilters(METADATA, None)(block)
    assert checked.ids == ["a", "c"]
    assert checked.columns["most"].to_pylist() == [1, 3]
    ((number, name, stage, error),) = checked.failures
    assert (number, name, stage) == (1, "b", "filter")
    assert "over item_id: string, price: double and, of the query, query.most: int64" in error


def test_queries_without_a_match_are_told_in_order():
    near = np.array([[0.5], [-np.inf], [-np.inf]], np.float32)
    block = Block(["a", "b", "c"], np.eye(3, dtype=np.float32), np.array([4, 5, 9]))
    found = without_matches(block, Answers(near, pa.table({"item_id": ["x"]})))
    assert [(one.number, one.query_id) for one in found] == [(5, "b"), (9, "c")]


def test_every_query_whose_filter_is_refused_fails_once_among_those_that_failed_before():
    columns = pa.table({"where": ["colour = 1", "x", "colour = 2", None, "price <"]})
    numbers, before = np.array([0, 2, 2, 3, 6]), [Failure(1, "b", "decode", ""), Failure(5, "f", "read", "")]
    block = Block(list("accdg"), np.ones((5, 1), np.float32), numbers, before, columns=columns)
    checked = CheckFilters(METADATA, None)(block)
    found = [(one.number, one.query_id, one.stage) for one in checked.failures]
    filters = [(number, name, "filter") for number, name in ((0, "a"), (2, "c"), (6, "g"))]
    assert found == [filters[0], (1, "b", "decode"), filters[1], (5, "f", "read"), filters[2]]
    assert (checked.ids, checked.numbers.tolist()) == (["d"], [3])


@pytest.mark.parametrize(
    ("where", "columns", "filtered"),
    [
        (None, None, False),
        (None, pa.table({"most": [1]}), False),
        (None, pa.table({"where": ["price < 1"]}), True),
        ("price < 1", None, True),
    ],
)
def test_a_filter_is_of_the_job_or_of_the_queries(where, columns, filtered):
    assert is_filtered(Asked(1, conditions=Conditions(where=where)), columns) == filtered


@pytest.mark.parametrize("flags", [(), STAGES])
def test_where_nothing_matches_any_query_there_is_nothing_to_be_diverse(out, flags):
    done = out.query(vectors(out), "--where", "number > 99", "--diversify", 0.5, *flags)
    assert done.code == 0, done
    assert (out.results.num_rows, [row["stage"] for row in out.failures]) == (0, ["match"] * 9)
