"""What a sample of a catalogue finds, told by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lookalike.index.answers import Answers
from lookalike.index.health import Hub, Nearest, health_lines, health_of


def answers(found: list[list[tuple[str, float]]], k: int = 3) -> Answers:
    """Of each query its items, and how near they are."""
    near = np.full((len(found), k), -np.inf, np.float32)
    for query, items in enumerate(found):
        near[query, : len(items)] = [one for _, one in items]
    ids = [item for items in found for item, _ in items]
    return Answers(near, pa.table({"item_id": pa.array(ids, pa.string())}))


def test_the_least_and_the_most_alike_come_with_their_nearest():
    found = answers([[("b", 0.9), ("c", 0.1)], [("a", 0.9)], [("d", 0.25)], [], [("c", 0.5), ("a", 0.5)]])
    health = health_of(list("abcde"), found, "cosine", 100)
    assert (health.asked, health.k) == (5, 3)
    assert health.scores == (0.25, np.float32(0.9), np.float32(0.9))
    assert health.least_similar[:2] == (Nearest("c", "d", 0.25), Nearest("e", "c", 0.5))
    # Of two that are as near the one with the greater id comes first here, and last there.
    assert [one.item_id for one in health.most_similar] == ["b", "a", "e", "c"]


def test_under_euclidean_a_score_is_a_distance():
    health = health_of(["a", "b"], answers([[("b", -2.0)], [("a", -0.5)]]), "euclidean", 9)
    assert health.least_similar[0] == Nearest("a", "b", 2.0)
    assert health.scores[0] == 2.0


def test_a_hub_is_in_more_than_a_twentieth_of_the_answers():
    ids = [f"i{n}" for n in range(100)]
    found = [
        [("hub", 0.9), (f"x{n}", 0.8)] if n < 6 else [("five" if n < 11 else f"y{n}", 0.7)]
        for n in range(100)
    ]
    health = health_of(ids, answers(found), "cosine", 100_000)
    assert (health.hubs, health.hub_count) == ((Hub("hub", 6),), 1)


def test_in_a_small_catalogue_all_are_in_many_answers_and_none_is_a_hub():
    ids = [f"i{n}" for n in range(10)]
    found = [[(ids[(n + step) % 10], 0.5) for step in (1, 2, 3)] for n in range(10)]
    assert not health_of(ids, answers(found), "cosine", 10).hubs


def test_without_an_answer_there_is_nothing_to_tell():
    assert health_of(["a"], answers([[]]), "cosine", 1) is None
    assert health_of(["a"], answers([[]], k=0), "cosine", 1) is None


def test_as_text():
    ids = [f"i{n}" for n in range(40)]
    hubs = [(f"hub{n}", 0.9 - n / 100) for n in range(7)]
    health = health_of(ids, answers([hubs] * 40, k=7), "cosine", 10_000)
    first, alone, alike, told = health_lines(health)
    assert first.endswith("has a score of 0.900 at the median, 0.900 and 0.900 at 5 and 95 %")
    assert alone == "least alike  i0 (0.900 to hub0), i1 (0.900 to hub0)"
    assert alike.startswith("most alike   ")
    assert told == (
        "HUBS         hub0 (40), hub1 (40), hub2 (40), hub3 (40), hub4 (40) and 2 more are in so many of the 40 answers"
    )
