"""How well words find items and items words: against hand-made rankings, chance, and the means of items."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest

from lookalike.evaluate import words
from lookalike.evaluate.words import _chance_of_items, _chance_of_texts, _items_of, _texts_found
from tests.conftest import Job
from tests.support.texts import add_labels


class Corpus:
    """Stands in for a ranked corpus of a few unit vectors."""

    queries_at_once = 2

    def __init__(self, vectors) -> None:
        self.vectors = np.float32(vectors)

    def vectors_of(self, numbers):
        return self.vectors[numbers]

    def keys(self, queries):
        return -(queries @ self.vectors.T)

    def ranked(self, keys, grades, top):
        order = np.argsort(keys, axis=1, kind="stable")
        return words_ranking(np.take_along_axis(grades, order, axis=1))


class words_ranking:
    def __init__(self, grades) -> None:
        self.grades = grades


def test_ranks_are_those_that_one_counts_by_hand():
    corpus = Corpus([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0], [0, 0, 1]])
    codes = np.array([0, 1, 1, -1])
    texts = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1]])[:2]
    found = _items_of(corpus, codes, texts)
    assert found.recall[1] == 1.0
    assert found.mean_average_precision == pytest.approx((1 + 1) / 2)
    found = _texts_found(corpus, codes, texts)
    assert found.recall == {1: pytest.approx(2 / 3), 5: 1.0, 10: 1.0}
    assert found.mean_average_precision == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_an_item_is_taken_out_of_the_mean_that_it_is_asked_with():
    corpus = Corpus([[1, 0], [0, 1], [0, 1]])
    codes = np.array([0, 0, 1])
    sums = np.array([[1.0, 1.0], [0.0, 1.0]])
    # Of the first item's text [0, 1] is left, of the third's nothing.
    assert _texts_found(corpus, codes, sums, is_sum=True).recall[1] == pytest.approx(1 / 3)


@pytest.mark.parametrize("right", [1, 2, 4])
def test_chance_is_the_mean_over_all_orders(right):
    precision, first = [], []
    for places in itertools.combinations(range(6), right):
        precision.append(np.mean([(number + 1) / (place + 1) for number, place in enumerate(places)]))
        first.append(places[0] < 5)
    chance = _chance_of_items(np.array([right]), 6)
    assert chance.mean_average_precision == pytest.approx(np.mean(precision))
    assert chance.recall == {1: pytest.approx(right / 6), 5: pytest.approx(np.mean(first)), 10: 1.0}
    assert _chance_of_texts(4).recall[1] == 0.25
    assert _chance_of_texts(4).mean_average_precision == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.fixture(scope="module")
def worded(published, tmp_path_factory) -> Job:
    folder = tmp_path_factory.mktemp("worded")
    shutil.copytree(published.settings["encoder"], folder / "encoder")
    add_labels(folder / "encoder")
    job = Job(folder, folder / "encoder")
    job.store = published.store
    job.settings |= {"corpus": published.settings["corpus"], "store": str(published.store)}
    return job


def test_a_job_is_measured_by_a_field_of_its_items(worded, tmp_path, monkeypatch):
    done = worded.run("evaluate", "--text", "number", "--out", tmp_path)
    assert done.code == 0, done
    assert "number: 24 texts of 24 items, 0 left out" in done.out
    found = json.loads((tmp_path / "words.json").read_text())["measured"]
    assert found["text to items"]["chance"]["recall"]["1"] == pytest.approx(1 / 24)
    assert found["text to items"]["centroid"]["recall"]["1"] == 1.0, "each item is its own mean"
    monkeypatch.setattr(words, "MOST_TEXTS", 7)
    assert "number: 7 texts of 7 items" in worded.run("evaluate", "--text", "number", "--out", tmp_path).out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--text", "colour"), "Expected a field that the index carries (title, number, directory)"),
        (
            ("--text", "directory"),
            "Expected at least two different texts in directory of the items. Received: 0",
        ),
        (("--text", "number", "--queries", "x"), "Expected --text with one job, and without --queries"),
        ((), "Expected --queries and --relevance, or --text. Received: neither"),
        (("--queries", "x"), "Expected --queries and --relevance, or --text. Received: --queries alone"),
        (("--relevance", "x"), "Expected --queries and --relevance, or --text. Received: --relevance alone"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(worded, tmp_path, options, sentence):
    assert worded.run("evaluate", *options, "--out", tmp_path).sentence.startswith(sentence)
