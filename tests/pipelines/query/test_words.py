"""Queries in words, from a table to the results: alone, beside a picture, in stages, and what is told of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.projection import unit_length
from lookalike.model.text.encoder import TextEncoder
from lookalike.query import stages
from lookalike.query.far_queries import FarQueries
from lookalike.query.query_table import open_table
from lookalike.query.table_cells import Problems
from lookalike.query.words import mixed, words_of
from tests.conftest import DIM, Job, picture, tune
from tests.support.texts import add_labels


@pytest.fixture(scope="module")
def worded(published, tmp_path_factory) -> Job:
    """The published job with an encoder that reads "red" and "blue". Not to be changed."""
    folder = tmp_path_factory.mktemp("worded")
    shutil.copytree(published.store, folder / "store")
    shutil.copytree(published.settings["encoder"], folder / "encoder")
    add_labels(folder / "encoder")
    job = Job(folder, folder / "encoder")
    job.settings["corpus"] = published.settings["corpus"] | {"shards": str(published.shards)}
    (folder / "red.jpg").write_bytes(picture(1))
    return job


def asked(job: Job, text: str, *options: object, ending: str = "csv") -> list[dict]:
    path = job.folder / f"asked.{ending}"
    path.write_text(text)
    done = job.query(path, *options)
    assert done.code == 0, done
    return job.results.to_pylist()


def vectors_of(job: Job, texts: list[str]) -> np.ndarray:
    encoder = Encoder.load(job.settings["encoder"], threads=1)
    return TextEncoder.load(job.settings["encoder"], encoder.fingerprint, threads=1).encode(texts).vectors


def test_words_find_what_their_vector_finds_and_results_say_so(worded):
    found = asked(worded, "query_id,text\na,red\nb,a large hat\n")
    assert {(row["query_id"], row["text"], row["asked_with"]) for row in found} == {
        ("a", "red", "text"),
        ("b", "a large hat", "text"),
    }
    assert {row["understood_as"] for row in found if row["query_id"] == "a"} == {"red"}
    path = worded.vectors_file(vectors_of(worded, ["red", "a large hat"]), ["a", "b"])
    assert worded.query(path).code == 0
    expected = worded.results.to_pylist()
    assert [(row["query_id"], row["item_id"], row["score"]) for row in found] == [
        (row["query_id"], row["item_id"], row["score"]) for row in expected
    ]


def test_what_cannot_be_read_fails_alone(worded):
    found = asked(worded, 'query_id,text\na,red\nb,\nc,красный\nd,"\t"\n')
    assert {row["query_id"] for row in found} == {"a"}
    assert [(row["query_id"], row["stage"]) for row in worded.failures] == [(x, "text") for x in "bcd"]
    assert "Cyrillic" in worded.failures[1]["error"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_every_row_of_pictures_and_words_is_asked_for_what_it_has(worded, ending):
    rows = [
        {"query_id": "both", "path": "red.jpg", "text": "blue", "text_weight": None},
        {"query_id": "words", "path": None, "text": "blue", "text_weight": None},
        {"query_id": "image", "path": "red.jpg", "text": None, "text_weight": None},
        {"query_id": "none", "path": "red.jpg", "text": "blue", "text_weight": 0.0},
        {"query_id": "all", "path": "red.jpg", "text": "blue", "text_weight": 1.0},
        {"query_id": "wrong", "path": "red.jpg", "text": "blue", "text_weight": 1.5},
        {"query_id": "gone", "path": "gone.jpg", "text": "blue", "text_weight": 0.5},
        {"query_id": "empty", "path": None, "text": None, "text_weight": 0.5},
    ]
    path = worded.folder / f"mixed.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
        path.write_text("\n".join(",".join(row) for row in [list(rows[0]), *cells]) + "\n")
    assert worded.query(path).code == 0
    found: dict[str, list] = {}
    for row in worded.results.to_pylist():
        found.setdefault(row["query_id"], []).append((row["item_id"], row["score"]))
        kinds = {"words": "text", "image": "image"}
        assert row["asked_with"] == kinds.get(row["query_id"], "image and text")
    assert list(found) == ["both", "words", "image", "none", "all"]
    assert found["all"] == found["words"]
    np.testing.assert_allclose([s for _, s in found["none"]], [s for _, s in found["image"]], atol=1e-6)
    assert found["both"] not in (found["words"], found["image"])
    assert [(row["query_id"], row["stage"]) for row in worded.failures] == [
        *(("wrong", "text"), ("gone", "read"), ("empty", "read"))
    ]


def test_the_mixture_is_the_weighted_sum_of_unit_vectors():
    words = pa.FixedSizeListArray.from_arrays(pa.array(np.float32([0, 1] * 3).reshape(-1)), 2)
    rows = pa.table({"words": words, "weight": pa.array([0.25, 1.0, None])})
    found = mixed(np.float32([[2, 0], [np.nan, np.nan], [3, 0]]), rows)
    np.testing.assert_allclose(found[0], unit_length(np.float32([[0.75, 0.25]]))[0], rtol=1e-6)
    np.testing.assert_array_equal(found[1:], [[0, 1], [3, 0]])
    bare = pa.table({"words": pa.nulls(1), "weight": pa.nulls(1)})
    np.testing.assert_array_equal(mixed(np.float32([[2, 0]]), bare), [[2, 0]])


def test_workers_give_the_same_bytes(worded):
    text = "query_id,path,text\na,red.jpg,blue\nb,,red\nc,red.jpg,\nd,,\ne,gone.jpg,red\n"
    tables = [worded.folder / "out" / f"{name}.parquet" for name in ("results", "failures")]
    for name, content in (("mixed", text), ("alone", "text\nred\nblue hat\n\nкрасный\n")):
        path = worded.folder / f"{name}.csv"
        path.write_text(content)
        assert worded.query(path).code == 0
        here = [table.read_bytes() for table in tables]
        assert worded.query(path, "--", "--runner=DirectRunner").code == 0
        assert [table.read_bytes() for table in tables] == here


def test_images_are_answered_as_before_to_the_byte(worded, published):
    tables = []
    for job in (worded, published):
        path = Path(job.folder, "one.csv")
        path.write_text(f"path\n{worded.folder / 'red.jpg'}\n")
        assert job.query(path).code == 0
        tables.append((job.folder / "out" / "results.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_steps_for_images_are_left_out(tuned):
    add_labels(tuned.settings["encoder"])
    plain = asked(tuned, "text\nred\n")
    tune(tuned, "--query-expansion", "3", "--reranking", "9,4,2")
    assert asked(tuned, "text\nred\n") == plain


def test_a_bundle_without_words_says_how_to_add_them(published):
    path = published.folder / "words.csv"
    path.write_text("text\nred\n")
    sentence = published.query(path).sentence
    assert "has no text encoder; `lookalike encoder text` adds one" in sentence


def test_scores_of_words_have_no_probability(worded):
    path = worded.folder / "words.csv"
    path.write_text("text\nred\n")
    sentence = worded.query(path, "--min-probability", "0.5").sentence
    assert sentence.startswith("Expected queries that are pictures for --min-probability")


def test_beside_vectors_a_column_of_that_name_is_carried(worded):
    vectors = vectors_of(worded, ["red", "blue"])
    table = {"query_id": ["a", "b"], "vector": pa.array(list(vectors)), "text": ["x", "y"]}
    pq.write_table(pa.table(table), worded.folder / "v.parquet")
    assert worded.query(worded.folder / "v.parquet").code == 0
    assert {row["text"] for row in worded.results.to_pylist()} == {"x", "y"}
    assert "asked_with" not in worded.results.column_names


@pytest.mark.parametrize("many", [0, 1 << 21])
def test_words_are_not_told_as_far_from_all_pictures_as_vectors_are(worded, monkeypatch, many):
    told = []
    monkeypatch.setattr(FarQueries, "tell", lambda _: told.append(1))
    monkeypatch.setattr(stages, "MANY", many)
    asked(worded, "query_id,text\na,red\n")
    assert not told
    assert worded.query(worded.vectors_file([[1.0] * DIM])).code == 0
    assert told


class TwoWords:
    """An encoder of texts that says what it read."""

    def encode(self, texts: list[str]) -> SimpleNamespace:
        vectors = np.float32([[len(text), 1] for text in texts])
        return SimpleNamespace(vectors=vectors, understood=[f"<{t}>" for t in texts], errors={}, cut=[])


def test_each_row_is_told_with_its_own_words_which_weigh_half_where_nothing_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("path,text,text_weight\n")
    table = open_table([files.look(str(tmp_path / "t.csv"))], "csv")
    columns = {
        "path": ["a.jpg", "b.jpg", None, "d.jpg"],
        "text": [None, "red", "blue", " \t"],
        "text_weight": [None, None, "0.25", "0.25"],
    }
    problems = Problems()
    found = words_of(table, columns, list("abcd"), TwoWords(), 2, problems)
    kinds, understood = (array.to_pylist() for array in found.told)
    assert not problems.errors
    assert kinds == ["image", "image and text", "text", "image"]
    assert understood == [None, "<red>", "<blue>", None]
    assert found.vectors.to_pylist() == [[0, 0], [3, 1], [4, 1], [0, 0]]
    assert (found.weights.to_pylist(), found.alone) == ([None, 0.5, 1.0, None], frozenset([2]))
