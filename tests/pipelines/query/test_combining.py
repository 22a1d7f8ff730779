"""What index shards answered becomes rows: in input order, without ids that came before, and only once."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from lookalike.filesystem import files
from lookalike.index.answers import Answers, write_answers
from lookalike.index.post_processing import Asked
from lookalike.index.query_blocks import read_queries
from lookalike.model.encoder.post_processing import PostProcessing, QueryExpansion
from lookalike.query.answering import results_schema
from lookalike.query.blocks import Block, duplicate
from lookalike.query.combining import Combine, Group, counts_of, rows_of
from lookalike.query.parts import queries_of, read_failures, write_failures, write_part

NEAR = [[[0.9, 0.5], [0.2, -np.inf]], [[0.7, -np.inf], [0.4, 0.1]]]
"""Of two index shards: how near they have items to two queries."""


def written(folder) -> tuple[str, Group]:
    with write_part(str(folder), "0", 2) as add:
        add(Block(["q", "again"], np.eye(2, dtype=np.float32), np.array([0, 1])))
    answers = tuple(str(folder / "answers" / f"{shard}") for shard in range(2))
    for shard, path in enumerate(answers):
        near = np.array(NEAR[shard], np.float32)
        ids = [f"{shard}-{n}" for n in range(int((~np.isneginf(near)).sum()))]
        with write_answers(path) as add_answers:
            add_answers(Answers(near, pa.table({"item_id": ids})))
    return str(folder), Group(0, ("0",), answers)


def rows(folder: str) -> list[dict]:
    with files.open_read(rows_of(folder, 0)) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all().to_pylist()


def test_the_nearest_of_all_shards_are_rows_and_repeated_queries_have_none(tmp_path):
    folder, group = written(tmp_path)
    with write_failures(str(tmp_path / "repeated" / "0")) as add:
        add([duplicate(1, "again")])
    combine = Combine(folder, Asked(2), 0, "cosine", results_schema({}), 0.5)
    combine([Group.from_json(json.loads(json.dumps(group.to_json())))])
    found = rows(folder)
    assert [(row["query_id"], row["rank"], row["item_id"]) for row in found] == [
        ("q", 1, "0-0"),
        ("q", 2, "1-0"),
    ]
    np.testing.assert_allclose([row["score"] for row in found], [0.9, 0.7], atol=1e-6)
    counts = json.loads(files.read_bytes(counts_of(folder, 0, 0)))
    assert (counts["answered"], counts["matches"], counts["asked"]) == (1, 2, 1)


def test_a_group_that_is_handed_out_again_is_not_combined_again(tmp_path):
    folder, group = written(tmp_path)
    combine = Combine(folder, Asked(2), 0, "cosine", results_schema({}), 0.5)
    combine([group])
    before = rows(folder)
    for path in group.answers:
        files.delete_files([path])  # else it would fail
    combine([group])
    assert rows(folder) == before
    assert len(before) == 4


def test_where_the_encoder_expands_queries_the_next_search_asks_what_lies_between_them_and_their_matches(
    tmp_path,
):
    with write_part(str(tmp_path), "0", 2) as add:
        add(Block(["q"], np.array([[1, 0]], np.float32), np.array([0])))
    answers = str(tmp_path / "answers")
    with write_answers(answers) as add_answers:
        near = np.array([[0.6]], np.float32)
        add_answers(Answers(near, pa.table({"item_id": ["a"]}), np.array([[0.6, 0.8]], np.float32)))
    asked = Asked(1, PostProcessing(query_expansion=QueryExpansion(k=1, alpha=0)))
    Combine(str(tmp_path), asked, 0, "cosine", results_schema({}), 0.5)([Group(0, ("0",), (answers,))])
    (block,) = read_queries([queries_of(str(tmp_path), 1, "0")])
    assert block.ids == ["q"]
    np.testing.assert_allclose(
        block.vectors, [[0.8944, 0.4472]], atol=1e-3
    )  # (1, 0) + (0.6, 0.8), at length 1


def test_queries_without_a_match_are_counted_and_told_but_for_those_that_came_before(tmp_path):
    with write_part(str(tmp_path), "0", 2) as add:
        add(Block(list("abc"), np.ones((3, 2), np.float32), np.arange(3)))
    answers = str(tmp_path / "answers")
    with write_answers(answers) as add_answers:
        near = np.array([[0.9], [-np.inf], [-np.inf]], np.float32)
        add_answers(Answers(near, pa.table({"item_id": ["x"]})))
    with write_failures(str(tmp_path / "repeated" / "0")) as add:
        add([duplicate(2, "c")])
    group = Group(0, ("0",), (answers,))
    Combine(str(tmp_path), Asked(1), 0, "cosine", results_schema({}), 0.5)([group])
    counts = json.loads(files.read_bytes(counts_of(str(tmp_path), 0, 0)))
    assert (counts["answered"], counts["unmatched"], counts["matches"]) == (1, 1, 1)
    assert [one.query_id for one in read_failures(str(tmp_path), "unmatched", "0")] == ["b"]
