"""Queries in stages: whatever the memory, the blocks and the workers, the bytes of one process with everything open."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.index import post_processing
from lookalike.model.encoder.bundle import Encoder
from lookalike.query import combining, reading, stages
from lookalike.query import job as query_job
from lookalike.sources.pack import pack
from lookalike.store import exclusions
from tests.conftest import DIM, Job, picture, tune
from tests.support.queries import corpus, noisy

SMALL = ("--set", "query.memory=1")
"""Nothing fits: every index shard is opened alone."""
WORKERS = ("--", "--runner=DirectRunner")


@pytest.fixture(scope="module")
def parted(tmp_path_factory, encoder) -> Job:
    """120 items in 8 index shards. Not to be changed."""
    job = Job(tmp_path_factory.mktemp("parted"), encoder)
    job.pack({f"{i:03}.jpg": picture(i) for i in range(120)}, per_shard=4)
    job.set(index={"shard_vectors": 20})
    job.nightly()
    assert len(job.generation["indexes"]) == 8
    return job


@pytest.fixture
def out(parted, tmp_path) -> Job:
    """The same job, whose tables and queries go to a folder of their own."""
    job = Job(tmp_path, parted.settings["encoder"])
    job.settings, job.store = {**parted.settings}, parted.store
    return job


def tables(job, queries, *arguments, form="parquet"):
    done = job.query(queries, *arguments, form=form)
    assert done.code == 0, done
    folder = job.folder / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"failures.{form}",
        "query.json",
        f"results.{form}",
    ]
    counts = json.loads((folder / "query.json").read_bytes())["counts"]
    return [(folder / f"{name}.{form}").read_bytes() for name in ("results", "failures")], counts


def asked(job, kind):
    """A file of queries of a kind, some of which fail and some come again."""
    if kind == "images":
        images = {f"q{i:02}.jpg": picture(500 + i) if i % 5 else b"none" for i in range(21)}
        return job.query_file(images)
    if kind == "ids":
        path = job.folder / "ids.txt"
        path.write_bytes(b"".join(b"%03d.jpg\n" % (i * 7 % 130) for i in range(150)) + b"caf\xe9\n\n\n")
        return path
    _, vectors = corpus(job)
    many = noisy(vectors, 70)
    many[5], many[61] = np.nan, 0
    table = {
        "query_id": [f"{i % 60}" for i in range(70)],
        "vector": pa.array(list(many), pa.list_(pa.float32())),
    }
    path = job.folder / "vectors.parquet"
    pq.write_table(pa.table(table), path, row_group_size=9)
    return path


@pytest.mark.parametrize("form", ["parquet", pytest.param("csv", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["images", "vectors", pytest.param("ids", marks=pytest.mark.slow)])
def test_shards_opened_one_after_another_give_the_same_bytes_as_all_at_once(out, kind, form, monkeypatch):
    queries = asked(out, kind)
    expected = tables(out, queries, "-k", 7, form=form)
    assert tables(out, queries, "-k", 7, *SMALL, form=form) == expected
    monkeypatch.setattr(post_processing, "BLOCK", 5)
    monkeypatch.setattr(reading, "ROWS", 20)
    assert tables(out, queries, "-k", 7, *SMALL, form=form) == expected
    assert tables(out, queries, "-k", 7, form=form) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "vectors", "ids"])
def test_workers_give_the_same_bytes_as_one_process(out, kind, monkeypatch):
    queries = asked(out, kind)
    expected = tables(out, queries, "--exclude-self")
    monkeypatch.setattr(reading, "ROWS", 20)
    monkeypatch.setattr(stages, "ROWS", 20)
    monkeypatch.setattr("lookalike.runner.beam.most_pieces", lambda _: 6)
    assert tables(out, queries, "--exclude-self", *WORKERS) == expected
    assert tables(out, queries, "--exclude-self", *SMALL, *WORKERS) == expected


def test_workers_take_the_encoder_from_the_store(out, monkeypatch):
    queries, folders = asked(out, "images"), []
    usual = Encoder.load
    monkeypatch.setattr(
        Encoder, "load", lambda folder, **k: folders.append(str(folder)) or usual(folder, **k)
    )
    reading._encoder.cache_clear()
    tables(out, queries, *WORKERS)
    assert {os.path.dirname(folder) for folder in folders} == {str(out.store / "encoders")}


def test_queries_are_named_as_in_one_process_though_workers_need_absolute_paths(out, monkeypatch):
    monkeypatch.chdir(out.folder)
    (shard,) = pack(str(asked(out, "images")), "packed", format="tfrecord").shards
    with open(shard, "r+b") as file:
        file.truncate(os.path.getsize(shard) - 5)
    expected = tables(out, "packed")
    assert any("packed/" in row["query_id"] and not row["query_id"].startswith("/") for row in out.failures)
    assert tables(out, "packed", *WORKERS) == expected


@pytest.mark.slow
def test_expansion_and_reranking_work_over_shards_that_open_and_close(out, tmp_path, monkeypatch):
    shutil.copytree(out.settings["encoder"], tmp_path / "encoder")
    out.settings["encoder"] = str(tmp_path / "encoder")
    plain = tables(out, asked(out, "vectors"))
    tune(out, "--query-expansion", "3,2", "--reranking", "9,4,2")
    for kind in ("vectors", "ids"):
        queries = asked(out, kind)
        expected = tables(out, queries, "-k", 12)
        assert expected != plain
        assert tables(out, queries, "-k", 12, *SMALL) == expected
        with monkeypatch.context() as patched:
            patched.setattr(post_processing, "BLOCK", 4)
            patched.setattr("lookalike.runner.beam.most_pieces", lambda _: 6)
            assert tables(out, queries, "-k", 12, *SMALL, *WORKERS) == expected


def test_no_more_shards_are_open_at_once_than_fit(out, monkeypatch):
    from lookalike.index import opening

    opened = []
    usual = opening.open_index
    monkeypatch.setattr(opening, "open_index", lambda root, ref: opened.append(ref.path) or usual(root, ref))
    seen = []
    ask = post_processing.ask
    monkeypatch.setattr(
        post_processing, "ask", lambda shards, *a, **k: seen.append(len(shards)) or ask(shards, *a, **k)
    )
    manifests = [json.loads(path.read_bytes()) for path in out.store.glob("indexes/*/manifest.json")]
    sizes = [sum(file["size"] for file in one["files"].values()) for one in manifests]
    tables(out, asked(out, "vectors"), "--set", f"query.memory={5 * max(sizes)}")
    assert 1 < max(seen) < 8
    assert len(opened) == len(set(opened)) == 8


def test_what_was_taken_down_is_not_shown_by_workers_either(out, tmp_path, parted):
    shutil.copytree(parted.store, tmp_path / "store")
    out.settings["store"] = str(tmp_path / "store")
    queries, ids = asked(out, "vectors"), asked(out, "ids")
    tables(out, queries)
    gone = out.results["item_id"].to_pylist()[:5]
    exclusions.add(str(tmp_path / "store"), gone)
    for one in (queries, ids):
        expected = tables(out, one)
        assert tables(out, one, *SMALL) == expected
        assert not set(gone) & set(out.results["item_id"].to_pylist())
    assert not set(gone) & set(out.results["query_id"].to_pylist())


def test_a_long_file_is_answered_in_stages_though_the_index_is_small(out, monkeypatch):
    queries = asked(out, "vectors")
    expected = tables(out, queries)
    monkeypatch.setattr(stages, "MANY", 10)
    monkeypatch.setattr(query_job, "search_in_steps", None)
    assert tables(out, queries) == expected


@pytest.mark.parametrize("kind", ["ids", "table"])
def test_rows_of_text_are_long_by_their_bytes(tmp_path, monkeypatch, kind):
    (tmp_path / "queries.csv").write_bytes(b"x" * 160)
    monkeypatch.setattr(stages, "MANY", 9)
    assert stages.is_long(str(tmp_path / "queries.csv"), kind)
    monkeypatch.setattr(stages, "MANY", 10)
    assert not stages.is_long(str(tmp_path / "queries.csv"), kind)


@pytest.mark.parametrize("arguments", [SMALL, WORKERS])
def test_what_fails_leaves_no_table_and_no_folder(out, arguments, monkeypatch):
    queries = asked(out, "vectors")
    tables(out, queries)
    monkeypatch.setattr(
        combining, "results_of", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    done = out.query(queries, *arguments)
    assert done.code == 2
    assert "No space left on device" in done.sentence
    assert list((out.folder / "out").iterdir()) == []


def test_nothing_but_bad_queries_or_none_at_all(out):
    path = out.vectors_file([[np.nan] * DIM] * 3)
    assert out.query(path, *SMALL).code == 3
    assert out.results.num_rows == 0
    assert len(out.failures) == 3
    assert "Expected queries" in out.query(out.vectors_file(np.empty((0, DIM)), []), *SMALL).sentence
    for text in (b"", b"\n\n"):
        (out.folder / "ids.txt").write_bytes(text)
        assert "Expected queries" in out.query(out.folder / "ids.txt", *SMALL).sentence


def test_the_folder_of_a_killed_run_is_deleted_by_a_later_one_when_it_is_old(out):
    left = [out.folder / "out" / f".query-{number:032}" / "ids" / "part" for number in range(2)]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    for path in (left[0], left[0].parents[1]):
        os.utime(path, (time.time() - 100_000,) * 2)
    assert out.query(asked(out, "vectors"), *SMALL).code == 0
    assert [path.exists() for path in left] == [False, True]


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_no_half_tables(out):
    queries = asked(out, "vectors")
    expected, _ = tables(out, queries)
    out.config.write_text(json.dumps(out.settings))
    command = [
        sys.executable,
        "-m",
        "lookalike",
        "query",
        str(queries),
        "-c",
        str(out.config),
        "-o",
        str(out.folder / "out"),
        *SMALL,
    ]
    for wait in (1.0, 1.5, 2.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        held = (out.folder / "out").glob("[!.]*.parquet")
        assert {path.read_bytes() for path in held} <= set(expected)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    found = [(out.folder / "out" / f"{name}.parquet").read_bytes() for name in ("results", "failures")]
    assert found == expected
