"""The nightly run: incremental, gated, reported; nothing happens where nothing changed."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone

import pyarrow.parquet as pq
import pytest

from lookalike.embedding import job as embed_job
from lookalike.embedding.plan import make_plan
from lookalike.embedding.shard_work import ShardWork
from lookalike.filesystem import files
from lookalike.index import job as index_job
from lookalike.index import making
from lookalike.index.gates import EXIT_CODES
from lookalike.model.encoder.bundle import Encoder
from lookalike.store import exclusions, generations
from lookalike.store.generation import current_name
from lookalike.store.lock import hold
from lookalike.store.verify import verify
from tests.conftest import picture
from tests.support.shards import corpus, pack_again
from tests.support.small_stores import Bucket


class Still(datetime):
    """A clock that stands still, years ago."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2001, 1, 1, tzinfo=timezone.utc)


def report(job):
    return json.loads((job.store / "reports" / "latest.json").read_text())


def test_an_unchanged_night_imports_neither_tensorflow_nor_scann_nor_beam(published):
    code = (
        "import sys; from lookalike.cli.main import main\n"
        f"try: main(['nightly', '-c', {str(published.config)!r}])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(sorted({'tensorflow', 'apache_beam', 'scann', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "still served" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_only_new_images_of_a_changed_shard_meet_the_network(job, pictures):
    job.pack(pictures)
    job.nightly()
    changed = sorted(pictures)[3]
    pack_again(job, pictures | {changed: picture(999)})
    job.nightly()
    records = report(job)["records"]
    assert (records["embedded"], records["reused"], records["items"]) == (1, 23, 24)
    assert report(job)["shards"] == {"read": 1, "unchanged": 2, "unfinished": 0, "late": 0}


def test_reused_vectors_are_the_ones_a_fresh_store_would_have(job, pictures):
    job.pack(pictures)
    job.nightly()
    pack_again(job, pictures | {sorted(pictures)[3]: picture(999)})
    job.nightly()
    ours = {p.name: p.read_bytes() for p in job.store.glob("embeddings/*/*.parquet")}
    job.set(store=str(job.folder / "fresh"))
    assert job.run("nightly").code == 0
    fresh = {p.name: p.read_bytes() for p in (job.folder / "fresh").glob("embeddings/*/*.parquet")}
    assert fresh.items() <= ours.items()


@pytest.mark.parametrize("trust", ["metadata", "content"])
def test_a_touched_shard_is_read_but_not_encoded(job, pictures, monkeypatch, trust):
    shards = job.pack(pictures)
    job.nightly()
    before = current_name(str(job.store))
    job.set(corpus={**job.settings["corpus"], "trust": trust})
    monkeypatch.setattr(Encoder, "submit", lambda *_: pytest.fail("an image was encoded"))
    os.utime(shards[0], (1, 1))
    job.nightly()
    assert report(job)["shards"]["read"] == (1 if trust == "metadata" else 3)
    assert current_name(str(job.store)) == before


def test_a_taken_down_item_vanishes_from_queries_at_once_and_from_the_next_index(job, pictures):
    job.pack(pictures)
    job.nightly()
    gone = sorted(pictures)[0]
    exclusions.add(str(job.store), [gone], "asked")
    vectors = job.vectors_file([[1.0] * 16])
    assert job.query(vectors, "-k", "24").code == 0
    assert len(job.results) == 23
    assert gone not in job.results["item_id"].to_pylist()
    job.nightly()
    assert (report(job)["records"]["items"], report(job)["excluded"]) == (23, 1)
    exclusions.remove(str(job.store), [gone])
    job.nightly()
    assert report(job)["records"]["items"] == 24


def test_a_second_run_is_refused_and_names_the_first(job, pictures):
    job.pack(pictures)
    with hold(str(job.store), "nightly"):
        done = job.run("nightly")
    assert done.code == 2
    assert "lookalike nightly on host" in done.sentence


def test_a_shard_of_nothing_but_rejects_may_be_mended(job, pictures):
    broken = {f"a{i}.jpg": b"x" for i in range(8)}
    job.set(gates={"max_reject_fraction": 0.5}).pack(broken | pictures)
    job.nightly()
    pack_again(job, broken | {"a0.jpg": picture(999)} | pictures)
    job.nightly()
    records = report(job)["records"]
    assert (records["embedded"], records["reused"], records["rejected"]) == (1, 24, 7)


def test_a_note_that_was_damaged_is_made_anew(copied):
    path = copied.store / next(iter(copied.notes.values()))["path"].replace(".parquet", ".json")
    content = path.read_text()
    path.write_text(content.replace('"shard": "', '"shard": "x'))
    assert "1 embedded, 2 finished before" in copied.nightly().out
    assert json.loads(path.read_text())["shard"] == json.loads(content)["shard"]


def test_an_index_shard_that_holds_nothing_is_built_anew_for_another_encoder(job, pictures, other_encoder):
    job.set(index={"shard_vectors": 6}).pack(pictures)
    job.nightly()
    assert 0 in [ref["count"] for ref in job.generation["indexes"]]
    job.set(encoder=str(other_encoder))
    job.nightly()
    assert job.query(job.query_file({"q.jpg": picture(1)})).code == 0


def test_a_failed_gate_is_reported_and_serves_the_night_before(job, pictures):
    job.pack(pictures)
    job.nightly()
    before = current_name(str(job.store))
    job.pack(dict(sorted(pictures.items())[:8]))
    done = job.run("nightly")
    assert done.code == EXIT_CODES["max_shrink_fraction"]
    assert "gates.max_shrink_fraction" in done.sentence
    assert current_name(str(job.store)) == before
    assert report(job)["outcome"] == "gate failed"
    assert report(job)["failed_gates"] == ["max_shrink_fraction"]
    assert report(job)["generation"] == before


def test_drift_is_measured_and_gated(job, pictures, other_encoder):
    job.pack(pictures)
    job.nightly()
    job.set(encoder=str(other_encoder))
    done = job.run("nightly", "--set", "gates.min_top10_overlap=0.999")
    assert done.code == EXIT_CODES["min_top10_overlap"]
    assert "gates.min_top10_overlap" in done.sentence
    job.nightly()
    assert 0 <= report(job)["drift"] < 0.999


def test_ids_in_two_shards_can_be_an_error(job, pictures):
    first, *_ = job.pack(pictures)
    shutil.copy(first, str(job.shards / "zz-copy.tfrecord"))
    job.nightly()
    assert report(job)["ids_duplicated"] == 8
    done = job.run("nightly", "--set", "corpus.duplicate_ids=error")
    assert done.code == EXIT_CODES["duplicate_ids"]
    assert "corpus.duplicate_ids" in done.sentence


def test_an_interrupted_run_says_so_and_goes_on_the_next_time(job, pictures, monkeypatch):
    def ctrl_c(*_):
        # Not by a signal: what runs in a shell's background ignores SIGINT.
        raise KeyboardInterrupt

    job.pack(pictures)
    with monkeypatch.context() as patch:
        patch.setattr(ShardWork, "write", ctrl_c)
        assert job.run("nightly").code == 130
    assert report(job)["outcome"] == "interrupted"
    job.nightly()
    assert report(job)["records"]["items"] == 24


def test_a_clock_that_went_backwards_still_gives_a_later_name(job, pictures, monkeypatch):
    job.pack(pictures)
    job.nightly()
    first = current_name(str(job.store))
    monkeypatch.setattr(index_job, "datetime", Still)
    job.nightly("--set", "index.recall_target=0.9")
    assert current_name(str(job.store)) > first


def test_a_run_after_a_rollback_takes_the_name_of_no_generation(job, pictures, monkeypatch):
    names = []
    for change in ({}, {"new.jpg": picture(999)}, {"newer.jpg": picture(998)}):
        if len(names) == 2:
            generations.rollback(str(job.store))
            monkeypatch.setattr(index_job, "datetime", Still)
        job.pack(pictures | change)
        job.nightly()
        names.append(current_name(str(job.store)))
    assert names == sorted(set(names))


def test_old_generations_are_pruned_by_retention(job, pictures):
    job.pack(pictures)
    for target in (0.9, 0.91, 0.92, 0.93):
        job.nightly("--set", f"index.recall_target={target}", "--set", "retention.generations=2")
    assert len(list((job.store / "generations").iterdir())) == 2
    assert len(list((job.store / "indexes").iterdir())) == 2
    told = report(job)["pruned"]
    assert told["generations"] == 1
    assert min(told["files"], told["bytes"]) > 1


def test_generations_younger_than_retention_days_are_kept(job, pictures):
    job.pack(pictures)
    for target in (0.9, 0.91, 0.92):
        days = ("--set", "retention.generations=1", "--set", "retention.days=1")
        job.nightly("--set", f"index.recall_target={target}", *days)
    assert len(list((job.store / "generations").iterdir())) == 3


def test_the_report_tells_the_lowest_recall_of_an_index_shard(job, pictures, monkeypatch):
    job.pack(pictures)
    recalls = iter((0.97, 0.95, 0.99, 0.98))
    usual = making.index_ref
    monkeypatch.setattr(
        making,
        "index_ref",
        lambda *a: replace(usual(*a), recall=next(recalls), recalls={"members": 0.999}),
    )
    sizes = ("--set", "index.shard_vectors=6", "--set", "gates.min_recall=0.9")
    job.nightly(*sizes)
    assert report(job)["recall"] == 0.95
    assert report(job)["recalls"] == {"members": 0.999}


def test_a_night_of_which_little_changed_lets_the_index_grow_and_says_so(copied):
    items = copied.generation["counts"]["items"]
    first = copied.generation["shards"][0]
    taken = pq.read_table(copied.store / first["path"])["item_id"][0].as_py()
    exclusions.add(str(copied.store), [taken])
    done = copied.nightly("--set", "index.grow=0.5")
    assert "0 shards built in" in done.out
    assert ", 1 grown, 0 as before" in done.out
    assert report(copied)["indexes"] == {"built": 0, "grown": 1, "unchanged": 0}
    assert report(copied)["index_vectors"] == {"added": 0, "hidden": 1}
    assert report(copied)["records"]["items"] == items - 1


def test_what_a_killed_night_did_not_prune_a_night_without_changes_does(job, pictures):
    job.pack(pictures)
    for target in (0.9, 0.91):
        job.nightly("--set", f"index.recall_target={target}")
    keep = ("--set", "index.recall_target=0.91", "--set", "retention.generations=1")
    assert "unchanged" in job.nightly(*keep).out
    assert len(list((job.store / "generations").iterdir())) == 1


def test_a_night_that_lost_the_store_while_it_built_publishes_nothing(copied, monkeypatch):
    def lock_deleted(*arguments):
        (copied.store / "LOCK").unlink()
        return check_index(*arguments)

    check_index = index_job.check_index
    monkeypatch.setattr(index_job, "check_index", lock_deleted)
    before = (copied.store / "CURRENT").read_bytes()
    done = copied.run("nightly", "--set", "metric=euclidean")
    assert done.code == 2
    assert "was deleted while this run was writing" in done.sentence
    assert (copied.store / "CURRENT").read_bytes() == before


def meanwhile(monkeypatch, change):
    """Something happens to the corpus after it was listed."""
    task = embed_job._task
    monkeypatch.setattr(embed_job, "_task", lambda *a: (change(), task(*a))[1])


def test_what_changes_after_it_was_listed_is_served_as_it_was_named_and_read_by_the_next_run(
    job, pictures, monkeypatch
):
    shards = job.pack(pictures)
    job.nightly()
    job.pack({**pictures, "p00.jpg": picture(900), "p09.jpg": picture(909)})
    served = {note["shard"]: note for note in job.generation["shards"]}

    def change():
        os.utime(shards[0], (1, 1))
        shutil.copy(shards[2], job.shards / "zz.tfrecord")

    with monkeypatch.context() as patched:
        meanwhile(patched, change)
        done = job.run("nightly")
    assert done.code == 3, done
    after = {note["shard"]: note for note in job.generation["shards"]}
    assert after.keys() == served.keys()
    first, second = (os.path.basename(shard) for shard in shards[:2])
    assert after[first] == served[first]
    assert after[second] != served[second]
    assert report(job)["shards"] == {"read": 2, "unchanged": 0, "unfinished": 1, "late": 1}
    sentence = report(job)["unfinished"][first]
    assert f"{shards[0]} on {socket.gethostname()} is not as it was listed" in sentence
    for told in (done.out, (job.store / "reports" / "latest.txt").read_text()):
        assert f"UNFINISHED   {first}: {sentence}" in told
        assert "zz.tfrecord" in told
    metrics = (job.store / "reports" / "lookalike.prom").read_text()
    assert f'lookalike_run_shards{{state="unfinished",store="{job.store}"}} 1.0' in metrics
    assert verify(str(job.store)) == []
    job.nightly()
    assert report(job)["shards"] == {"read": 2, "unchanged": 2, "unfinished": 0, "late": 0}
    assert report(job)["records"]["embedded"] == 1


def test_where_a_worker_sees_nothing_of_the_corpus_the_gate_names_the_shards_and_the_machine(
    job, pictures, monkeypatch
):
    for format in ("folder", "tfrecord"):
        job.store = job.folder / format
        job.set(store=str(job.store))
        shutil.rmtree(job.shards, ignore_errors=True)
        corpus(job, pictures, format)
        away = job.folder / f"away-{format}"
        with monkeypatch.context() as patched:
            meanwhile(patched, lambda away=away: job.shards.rename(away))
            done = job.run("nightly")
        assert done.code == EXIT_CODES["no_items"]
        assert "no image could be embedded" in done.sentence
        assert "shards are not finished: " in done.sentence
        assert f"on {socket.gethostname()} is not as it was listed" in done.sentence
        away.rename(job.shards)
        job.nightly()
        assert job.generation["counts"]["items"] == 24


def test_a_corpus_that_is_gone_from_the_workers_serves_on_what_is_served(job, pictures, monkeypatch):
    job.pack(pictures)
    job.nightly()
    before = current_name(str(job.store))
    for path in job.shards.iterdir():
        os.utime(path, (1, 1))
    meanwhile(monkeypatch, lambda: job.shards.rename(job.folder / "away"))
    done = job.run("nightly")
    assert done.code == 3
    assert current_name(str(job.store)) == before
    assert "the corpus cannot be listed again" in done.err
    assert report(job)["shards"] == {"read": 0, "unchanged": 0, "unfinished": 3, "late": 0}


def test_an_index_alone_is_not_made_of_a_part(job, pictures, monkeypatch):
    shards = job.pack(pictures)
    meanwhile(monkeypatch, lambda: os.utime(shards[0], (1, 1)))
    assert job.run("embed").code == 3
    done = job.run("index")
    assert done.code == 2
    assert "1 of 3 shards are not embedded" in done.sentence


@pytest.mark.parametrize("which", ["path", "rejects_path"])
def test_behind_a_url_a_night_that_misses_what_somebody_deleted_begins_again(copied, monkeypatch, which):
    bucket, url = Bucket(monkeypatch), "mem://bucket/store"
    (copied.store / "LOCK").unlink()
    bucket.upload(copied.store, url)
    copied.set(store=url)
    copied.nightly()
    plan = make_plan(copied.loaded)
    assert not plan.is_listed
    note = plan.notes[1]
    del bucket.objects[f"{url}/{getattr(note, which)}"]
    assert "still served" in copied.nightly().out  # for which no embedding file is needed
    # What was kept of the files would do for one that is not built anew.
    files.delete([f"{url}/kept"])
    copied.set(index={"recall_target": 0.9})
    done = copied.nightly()
    assert f"embedding files of 1 shards in {url} ({note.shard})" in done.err
    assert "the night begins again" in done.err
    assert verify(url) == []
    plan = make_plan(copied.loaded)
    assert (plan.finished.all(), plan.are_kept, plan.is_listed) == (True, True, False)
