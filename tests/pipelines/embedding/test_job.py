"""The embedding job as a whole: the same vectors as the encoder, whatever runs it and whatever stops it."""

import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike.embedding import job as embed_module
from lookalike.embedding.outcomes import read_outcomes
from lookalike.embedding.plan import make_plan
from lookalike.embedding.shard_work import ShardWork
from lookalike.embedding.summary import summarise
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.errors import LookalikeError
from lookalike.sources.tfrecord import Example, frame
from lookalike.store.note_listing import finished_shards, keep_notes
from tests.conftest import picture, run
from tests.support.encoding import encode
from tests.support.fault_points import FaultPoints, die, watched
from tests.support.shards import FORMATS, corpus, one_shard, tfrecord
from tests.support.small_stores import Bucket


@pytest.mark.parametrize("format", FORMATS)
def test_every_image_of_every_format_has_the_vector_that_the_encoder_gives(job, pictures, encoder, format):
    corpus(job, pictures, format)
    done = job.run("embed")
    assert done.code == 0
    assert "24 read = 24 embedded + 0 reused + 0 rejected + 0 duplicate" in done.out
    table = job.embeddings
    names = [name.rpartition("/")[2] for name in table["item_id"].to_pylist()]
    assert sorted(names) == sorted(pictures)
    vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    np.testing.assert_array_equal(vectors, encode(Encoder.load(encoder), [pictures[n] for n in names])[0])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    hashes = [hashlib.sha256(pictures[name]).hexdigest() for name in names]
    assert table["content_hash"].to_pylist() == hashes
    assert set(zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)) == {(48, 40)}


def test_what_is_embedded_depends_on_neither_threads_nor_the_other_shards(job, pictures):
    job.pack(pictures)
    job.set(embed={"threads": 1}, store=str(job.folder / "one"))
    assert job.run("embed").code == 0
    job.set(embed={"threads": 3}, store=str(job.folder / "three"))
    assert job.run("embed").code == 0
    one, three = (sorted((job.folder / name / "embeddings").rglob("*.parquet")) for name in ("one", "three"))
    assert [path.name for path in one] == [path.name for path in three]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in three]


def test_a_stopped_run_goes_on_where_it_was_without_repeating_finished_shards(job, pictures, monkeypatch):
    job.pack(pictures, per_shard=2)
    job.set(embed={"threads": 1})
    encode, calls = Encoder.encode_batch, []

    def stopped(self, images, **options):
        calls.append(images)
        if len(calls) == 8:
            raise LookalikeError("the machine went down")
        return encode(self, images, **options)

    monkeypatch.setattr(Encoder, "encode_batch", stopped)
    first = job.run("embed")
    assert (first.code, first.sentence) == (2, "the machine went down")
    assert len(job.notes) == 7
    assert not [path for path in job.store.rglob("*") if ".tmp-" in path.name]
    calls.clear()
    monkeypatch.setattr(
        Encoder,
        "encode_batch",
        lambda self, images, **options: (calls.append(images), encode(self, images, **options))[1],
    )
    second = job.run("embed")
    assert "5 embedded, 7 finished before" in second.out
    assert len(calls) == 5
    assert job.embeddings["item_id"].to_pylist() == sorted(pictures)


def test_a_shard_that_vanishes_while_the_run_goes_is_left_to_the_next_and_the_others_are_embedded(
    job, pictures, monkeypatch
):
    shards = job.pack(pictures)
    load = embed_module.open_encoder

    def slow(*arguments):
        os.unlink(shards[1])
        return load(*arguments)

    monkeypatch.setattr(embed_module, "open_encoder", slow)
    done = job.run("embed")
    assert done.code == 3
    assert "2 embedded, 0 finished before" in done.out
    assert "UNFINISHED   1 shards are left to the next run" in done.out
    assert f"{shards[1]} on {socket.gethostname()} is not as it was listed" in done.out
    assert "Received: No such file or directory" in done.out
    assert len(job.notes) == 2


def test_a_shard_that_changes_after_it_was_read_is_late_and_read_by_the_next_run(job, pictures, monkeypatch):
    shards = job.pack(pictures)
    finish = embed_module._Queue._finish

    def changing(self, work):
        os.utime(shards[0], (1, 1))
        return finish(self, work)

    with monkeypatch.context() as patched:
        patched.setattr(embed_module._Queue, "_finish", changing)
        done = job.run("embed")
    assert done.code == 0
    assert (
        f"late         1 shards arrived or changed during the run: {os.path.basename(shards[0])}\n"
        in done.out
    )
    assert "1 embedded, 2 finished before" in job.run("embed").out


@pytest.fixture
def bundle(job, pictures, monkeypatch):
    """A task and its shards, and the numbers of images that met the encoder in each batch."""
    job.pack(pictures)
    plan = make_plan(job.loaded)
    met, encode = [], Encoder.encode_batch
    monkeypatch.setattr(
        Encoder,
        "encode_batch",
        lambda self, images, **options: (met.append(len(images)), encode(self, images, **options))[1],
    )
    return embed_module._task(job.loaded, plan, ()), plan, met


def test_a_bundle_that_is_run_again_embeds_nothing_and_counts_nothing_twice(job, bundle):
    task, plan, met = bundle
    embed_module.EmbedShards(task)(plan.missing)
    before = {path: path.stat().st_mtime_ns for path in job.store.rglob("embeddings/*/*.*")}
    for _ in range(2):
        embed_module.EmbedShards(task)([*plan.missing, *plan.missing])
    assert sum(met) == 24
    assert {path: path.stat().st_mtime_ns for path in job.store.rglob("embeddings/*/*.*")} == before
    summary = summarise(job.loaded, plan, read_outcomes(task.run_folder), 1.0)
    assert (summary.counts["read"], summary.counts["embedded"], len(summary.embedded)) == (24, 24, 3)


def test_of_a_bundle_whose_worker_was_killed_only_what_is_not_finished_is_embedded_again(job, bundle):
    task, plan, met = bundle

    def last_outcome(operation: str, path: str) -> bool:
        return operation == "rename" and "outcomes" in path

    child = os.fork()
    if not child:
        with watched(FaultPoints(job.store, 3, die, last_outcome)):
            embed_module.EmbedShards(task)(plan.missing)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(list(Path(task.run_folder, "outcomes").glob("[!.]*"))) == 2
    assert len(job.notes) == 3, "it died between the note and the outcome"
    files = {path: path.stat().st_mtime_ns for path in job.store.rglob("embeddings/*/*.parquet")}
    embed_module.EmbedShards(task)(plan.missing)
    assert sum(met) == 8
    assert {path: path.stat().st_mtime_ns for path in job.store.rglob("embeddings/*/*.parquet")} == files
    summary = summarise(job.loaded, plan, read_outcomes(task.run_folder), 1.0)
    assert summary.counts["embedded"] == summary.counts["read"] == 24


def test_a_shard_of_a_bundle_that_is_not_as_listed_takes_no_other_with_it(job, bundle):
    task, plan, _ = bundle
    os.utime(plan.missing[1].place, (1, 1))
    embed_module.EmbedShards(task)(plan.missing)
    outcomes = read_outcomes(task.run_folder)
    assert [note.shard for note in outcomes.notes] == [plan.missing[0].name, plan.missing[2].name]
    assert "changed 1970-01-01" in outcomes.unfinished[plan.missing[1].name]
    assert not [path for path in job.store.rglob("*") if ".tmp-" in path.name]


def test_workers_that_see_another_store_are_told_of(job, bundle):
    _, plan, _ = bundle
    with pytest.raises(LookalikeError, match="do all workers see this store"):
        summarise(job.loaded, plan, read_outcomes("elsewhere"), 1.0)


def test_a_pattern_that_matches_no_shard_is_refused(job):
    job.set(corpus={"shards": str(job.folder / "nothing" / "*.tfrecord")})
    done = job.run("embed")
    assert done.code == 2
    assert done.sentence.endswith(f"Received: {job.folder}/nothing/*.tfrecord")


def test_a_store_that_is_a_file_is_refused(job, pictures):
    job.pack(pictures)
    job.store.write_text("")
    done = job.run("embed")
    assert done.code == 2
    assert str(job.store) in done.sentence


def test_a_read_only_store_is_refused_in_a_sentence(job, pictures, mounted):
    job.pack(pictures)
    store = mounted("store", 1024)
    subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
    done = job.run("embed")
    assert done.code == 2
    assert "Read-only file system" in done.sentence
    assert str(store) in done.sentence


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--runner", "DirectRunner"], ["--runner", "FnApiRunner"]])
def test_the_local_runners_give_the_same_files_as_the_default(job, pictures, flags):
    job.pack(pictures)
    job.set(store=str(job.folder / "default"))
    job.nightly()
    job.set(store=str(job.folder / "named"))
    job.nightly("--", *flags)
    for pattern in ("embeddings/*/*.parquet", "indexes/*/*"):
        default, named = (sorted((job.folder / name).glob(pattern)) for name in ("default", "named"))
        assert [path.name for path in default] == [path.name for path in named]
        assert [path.read_bytes() for path in default] == [path.read_bytes() for path in named]


def test_a_runner_that_does_not_exist_is_refused_in_a_sentence(job, pictures):
    job.pack(pictures)
    done = job.run("embed", "--", "--runner", "Nonsense")
    assert done.code == 2
    assert "Nonsense" in done.sentence


def test_a_beam_flag_that_is_not_one_is_refused(job, pictures):
    job.pack(pictures)
    done = job.run("embed", "--", "--direct_num_wokers", "2")
    assert done.code == 2
    assert "--direct_num_wokers" in done.err


LOOPBACK_ONLY = "import fcntl,os,socket,struct,sys;s=socket.socket();" + (
    "fcntl.ioctl(s,0x8914,struct.pack('16sh',b'lo',1));os.execv(sys.executable,[sys.executable,*sys.argv[1:]])"
)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "multi_processing"])
def test_a_whole_night_needs_no_network(job, pictures, mode):
    """In a network namespace with nothing but the loopback device."""
    job.pack(pictures)
    job.config.write_text(json.dumps(job.settings))
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("`unshare -n` needs privileges")
    flags = ["--direct_running_mode", mode, "--direct_num_workers", "2"] if mode != "default" else []
    command = ["-m", "lookalike", "nightly", "-c", str(job.config), "--", *flags]
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", LOOPBACK_ONLY, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    parallel = sorted(job.store.glob("embeddings/*/*.parquet"))
    shutil.move(job.store, job.folder / "first")
    job.nightly()
    alone = sorted(job.store.glob("embeddings/*/*.parquet"))
    first = [job.folder / "first" / path.relative_to(job.store) for path in parallel]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in alone]


def test_the_readme_form_of_flags_reaches_beam(job, pictures):
    job.pack(pictures)
    assert run("embed", "-c", job.config, "--help").code == 0
    assert job.run("embed", "--", "--direct_num_workers", "1").code == 0


def test_the_encoder_stays_closed_where_every_image_is_known(job, pictures, monkeypatch):
    shards = job.pack(pictures)
    assert job.run("embed").code == 0
    for shard in shards:
        os.utime(shard, (1, 1))
    monkeypatch.setattr(embed_module, "open_encoder", lambda *_: pytest.fail("the encoder was opened"))
    assert "24 read = 0 embedded + 24 reused + 0 rejected + 0 duplicate" in job.run("embed").out


def test_a_failure_names_the_shard_that_was_written_and_leaves_nothing_of_any(job, pictures, monkeypatch):
    job.pack(pictures, per_shard=2)
    job.set(embed={"threads": 1})
    failed = []

    def full(self):
        failed.append(self.shard.place)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardWork, "finish", full)
    done = job.run("embed")
    assert (done.code, done.sentence) == (2, f"{failed[0]}: No space left on device")
    assert len(failed) == 1
    assert not [path for path in job.store.rglob("embeddings/*/*") if path.is_file()]


@pytest.mark.parametrize(
    "other", [{"max_pixels": 1_000_000}, {"id_field": "id"}, {"metadata": {"n": "int64"}}]
)
def test_shards_that_are_read_otherwise_get_other_files_and_those_of_before_stay(job, other):
    one_shard(job, tfrecord(*((b"p%d" % i, picture(i)) for i in range(4))), "a.tfrecord")
    assert job.run("embed").code == 0
    before = {path: path.read_bytes() for path in job.store.glob("embeddings/*/*.*")}
    job.set(corpus=other)
    assert "1 embedded, 0 finished before" in job.run("embed").out
    after = {path: path.read_bytes() for path in job.store.glob("embeddings/*/*.*")}
    assert after.items() >= before.items()
    assert len(list(job.store.glob("embeddings/*/*.json"))) == 2


def shard(*records, damaged: int = 0) -> bytes:
    """A TFRecord file of (id, image, number); the data of the last record can be damaged, or cut off."""
    data = []
    for item_id, image, number in records:
        example = Example()
        example.features.feature["id"].bytes_list.value.append(item_id)
        example.features.feature["image/encoded"].bytes_list.value.append(image)
        example.features.feature["n"].int64_list.value.append(number)
        data.append(frame(example.SerializeToString()))
    content = b"".join(data)
    return content[:-damaged] if damaged else content


A, B = (b"a", picture(1), 1), (b"b", picture(2), 2)
BROKEN = frame(b"no example")
OTHERS = {
    "an id": shard(A, (b"c", picture(2), 2)),
    "an image": shard(A, (b"b", picture(3), 2)),
    "metadata": shard(A, (b"b", picture(2), 3)),
    "the order": shard(B, A),
    "a record less": shard(A),
    "what cannot be read": shard(A, B) + BROKEN,
    "where it is": BROKEN + shard(A, B),
    "a cut": shard(A, B, A, damaged=3),
}


def test_the_digest_of_a_shard_changes_with_all_that_its_records_hold(job):
    job.shards.mkdir()
    for name, content in {"it": shard(A, B), "the same": shard(A, B), **OTHERS}.items():
        (job.shards / f"{name}.tfrecord").write_bytes(content)
    job.set(corpus={"metadata": {"n": "int64"}})
    assert job.run("embed").code in (0, 3)
    digests = {name.removesuffix(".tfrecord"): note["digest"] for name, note in job.notes.items()}
    assert digests.pop("the same") == digests["it"]
    assert len(set(digests.values())) == len(digests) == 1 + len(OTHERS)


def test_an_encoder_that_is_another_than_when_the_job_was_planned_is_refused(job, encoder, other_encoder):
    one_shard(job, tfrecord((b"a", picture(1))), "a.tfrecord")
    shutil.copytree(encoder, job.folder / "encoder")
    config = job.set(encoder=str(job.folder / "encoder")).loaded
    plan = make_plan(config)
    shutil.rmtree(job.folder / "encoder")
    shutil.copytree(other_encoder, job.folder / "encoder")
    with pytest.raises(LookalikeError, match="The encoder changed while the job ran"):
        embed_module.embed(config, plan)
    assert not list(job.store.glob("embeddings/*/*.parquet"))


@pytest.fixture
def remote(copied, tmp_path, monkeypatch):
    """The job of `copied` with its store behind a URL, listed and kept; the bucket. Its first shard was touched."""
    bucket, url = Bucket(monkeypatch), "mem://bucket/store"
    bucket.upload(copied.store, url)
    copied.set(store=url, corpus={"shards": str(tmp_path / "shards" / "shard*")})
    plan = make_plan(copied.loaded)
    keep_notes(url, plan.fingerprint, plan.stored)
    bucket.now += 1
    os.utime(sorted(copied.shards.iterdir())[0])
    return copied, bucket


def test_behind_a_url_a_run_that_fails_has_the_next_one_list_the_store(remote, monkeypatch):
    job, _ = remote
    plan = make_plan(job.loaded)
    assert (plan.is_listed, len(plan.missing)) == (False, 1)

    def fails(*_):
        raise LookalikeError("fails")

    with monkeypatch.context() as patch:
        patch.setattr(embed_module, "_look_up", fails)
        with pytest.raises(LookalikeError, match="fails"):
            embed_module.embed(job.loaded, plan)
    again = make_plan(job.loaded)
    assert (again.is_listed, again.are_kept) == (True, False)
    embed_module.embed(job.loaded, again)
    plan = make_plan(job.loaded)
    assert (plan.is_listed, plan.are_kept, len(plan.missing)) == (False, True, 0)


def test_behind_a_url_what_was_only_read_in_the_file_of_all_notes_is_not_told_on_unless_it_is_so(remote):
    job, bucket = remote
    plan = make_plan(job.loaded)
    changed, gone = plan.notes
    path = f"{job.settings['store']}/{changed.path.removesuffix('.parquet')}.json"
    note = bucket.objects[path][0].replace(changed.sha256.encode(), b"0" * 64)
    bucket.objects[path] = (note, bucket.now)
    del bucket.objects[f"{job.settings['store']}/{gone.rejects_path}"]
    embed_module.embed(job.loaded, plan)
    found, true = (finished_shards(job.settings["store"], plan.fingerprint, look) for look in (False, True))
    assert list(found.notes) == list(true.notes)
    assert {note.sha256 for note in found.notes} > {"0" * 64}
