"""A file of real queries that the index is tuned with, in each form that queries have."""

import json
import logging

import numpy as np
import pytest

from lookalike.embedding.plan import make_plan
from lookalike.index import cheapest, tuning
from lookalike.query.tuning_queries import tuning_queries
from tests.conftest import picture
from tests.support.queries import corpus, noisy
from tests.support.texts import add_labels


def asked(job, path):
    return tuning_queries(job.set(index={"tuning_queries": str(path)}).loaded)


def vectors_of(job, path):
    return asked(job, path).load(make_plan(job.loaded))


def test_images_vectors_tables_and_ids_give_the_vectors_that_queries_would_be_asked_with(copied, pictures):
    ids, vectors = corpus(copied)
    np.testing.assert_array_equal(vectors_of(copied, copied.vectors_file(vectors)), vectors)
    text = copied.folder / "yesterday.txt"
    text.write_text("".join(f"{i}\n" for i in ids))
    by_id = vectors_of(copied, text)
    assert sorted(map(tuple, by_id.tolist())) == sorted(map(tuple, vectors.tolist()))
    table = copied.folder / "t.jsonl"
    table.write_text("".join(json.dumps({"query_id": "q", "item_id": i}) + "\n" for i in [*ids, "none"]))
    by_id = vectors_of(copied, table)
    assert sorted(map(tuple, by_id.tolist())) == sorted(map(tuple, vectors.tolist()))
    table.write_text("".join(json.dumps({"vector": v, "n": 1}) + "\n" for v in vectors.tolist()))
    np.testing.assert_array_equal(vectors_of(copied, table), vectors)
    (path,) = copied.query_file({"a.jpg": pictures[ids[0]]}, "one").iterdir()
    table.write_text(json.dumps({"path": str(path)}))
    np.testing.assert_allclose(vectors_of(copied, table), vectors[:1], atol=1e-6)
    some = {name: pictures[name] for name in list(pictures)[:3]}
    encoded = vectors_of(copied, copied.query_file(some))
    np.testing.assert_allclose(encoded, vectors[[ids.index(name) for name in some]], atol=1e-6)


def test_queries_that_cannot_be_asked_are_counted_in_the_log(copied, caplog):
    text = copied.folder / "ids.txt"
    text.write_bytes(b"p01.jpg\nunknown\n\xff\n")
    with caplog.at_level(logging.WARNING):
        assert vectors_of(copied, text).shape == (1, 16)
    assert "2 queries of" in caplog.text


@pytest.mark.parametrize("content", [b"", b"unknown\n"])
def test_a_file_of_which_nothing_can_be_asked_ends_the_run_with_a_sentence(copied, content):
    (copied.folder / "ids.txt").write_bytes(content)
    done = copied.set(index={"tuning_queries": str(copied.folder / "ids.txt")}).run("index")
    assert done.code == 2
    assert "index.tuning_queries: expected queries that can be asked" in done.sentence


def test_a_path_that_names_nothing_is_refused_before_anything_is_embedded(copied):
    copied.pack({"new.jpg": picture(900)})
    done = copied.set(index={"tuning_queries": "/no/such.parquet"}).run("nightly")
    assert done.code == 2
    assert "/no/such.parquet" in done.sentence
    assert json.loads((copied.store / "reports" / "latest.json").read_text())["records"] == {}


def test_other_content_builds_the_index_again_and_the_same_content_does_not(copied, monkeypatch):
    seen = []
    usual = cheapest.trials_for
    # So few pictures would be compared one by one.
    monkeypatch.setattr(tuning, "_BRUTE_FORCE_BELOW", 17)
    monkeypatch.setattr(
        cheapest, "trials_for", lambda *arguments: seen.append(arguments[2]) or usual(*arguments)
    )
    _, vectors = corpus(copied)
    path = copied.vectors_file(noisy(vectors, 9))
    job = copied.set(index={"tuning_queries": str(path)})
    assert "published" in job.run("nightly").out
    assert seen[0].shape == (9, 16)
    assert "unchanged" in job.run("nightly").out
    assert job.run("nightly", "--dry-run").out.count("at most 0 of 1 shards to build") == 1
    copied.vectors_file(noisy(vectors, 10))
    assert "at most 1 of 1 shards to build" in job.run("nightly", "--dry-run").out
    assert "published" in job.run("nightly").out
    assert seen[1].shape == (10, 16)


def test_words_are_queries_too_and_another_text_encoder_makes_others_of_them(tuned, tmp_path):
    add_labels(tuned.settings["encoder"])
    path = tmp_path / "words.csv"
    path.write_text("text\nred\nblue\n")
    tuned.set(index={"tuning_queries": str(path)})
    before = tuning_queries(tuned.loaded)
    vectors = before.load(make_plan(tuned.loaded))
    assert len(vectors) == 2
    add_labels(tuned.settings["encoder"], ("red", "green"))
    assert tuning_queries(tuned.loaded).digest != before.digest
