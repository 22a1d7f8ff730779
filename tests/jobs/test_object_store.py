"""Corpus, store, queries and answers on S3: what works on a disk works there, and what fails says so."""

import gc
import io
import itertools
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pytest
import yaml

from lookalike.embedding.plan import make_plan
from lookalike.filesystem import files, stores
from lookalike.model.errors import LookalikeError
from lookalike.sources import SourceOptions, find_shards, read_shard
from lookalike.sources.pack import pack
from lookalike.store.holder import Holder, this_process
from lookalike.store.lease import Lease
from lookalike.store.note_file import break_seal
from lookalike.store.note_listing import finished_shards, keep_notes
from lookalike.store.notes import base_path
from tests.conftest import Job, picture, run
from tests.support import s3_server
from tests.support.forks import Forks
from tests.support.s3_server import HANG, Fault, contents, from_the, once
from tests.support.small_stores import a_note

EVERY = int(os.environ.get("LOOKALIKE_KILL_EVERY", "13"))
"""Which of the moments are tried."""


@pytest.fixture(scope="module")
def corpus(s3, published) -> str:
    """The shards of `published`; their root is the bucket, so that one more in it renames none."""
    bucket = s3.make_bucket()
    s3_server.upload(s3.client, published.shards, bucket, "shards")
    return f"s3://{bucket}/shard*/*.tfrecord"


@pytest.fixture(scope="module")
def night(s3, corpus, published, tmp_path_factory) -> Job:
    """Like `published`, with shards and store on S3. Not to be changed: see `copied`."""
    job = job_of(published, tmp_path_factory.mktemp("night"), corpus, f"s3://{s3.make_bucket()}/store")
    job.nightly()
    return job


class CloudJob(Job):
    """A job whose file is there from the beginning."""

    def set(self, **sections) -> "CloudJob":
        super().set(**sections)
        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return self


def job_of(published, folder: Path, corpus: str, store: str) -> CloudJob:
    job = CloudJob(folder, Path(published.settings["encoder"]))
    return job.set(corpus=published.settings["corpus"] | {"shards": corpus}, store=store)


@pytest.fixture
def copied(server, night, published, bucket, tmp_path) -> Job:
    """A copy of `night`'s store, and of its corpus, in a bucket of its own."""
    client = server.client
    for part in ("shards", "store"):
        held = night.settings["corpus"]["shards"] if part == "shards" else night.settings["store"]
        for key, content in contents(client, held.split("/")[2], part):
            client.put_object(Bucket=bucket, Key=f"{part}/{key}", Body=content)
    return job_of(published, tmp_path, night.settings["corpus"]["shards"], f"s3://{bucket}/store")


@pytest.fixture
def asking(published, night, tmp_path) -> Job:
    """A job on `night`'s store, which it must not change."""
    return job_of(published, tmp_path, night.settings["corpus"]["shards"], night.settings["store"])


def add_shard(server, job: Job, name: str = "new.tfrecord", seed: int = 700) -> None:
    """Gives the job a shard more, of 4 images."""
    other = Job(job.folder / f"of-{name}", Path(job.settings["encoder"]))
    other.folder.mkdir()
    [shard] = other.pack({f"{name}-{i}.jpg": picture(seed + i) for i in range(4)})
    shards = job.settings["corpus"]["shards"]
    shards = [shards] if isinstance(shards, str) else shards
    bucket, place = (path.split("/")[2] for path in (shards[0], job.settings["store"]))
    server.client.put_object(Bucket=bucket, Key=f"more/{place}/{name}", Body=Path(shard).read_bytes())
    job.set(corpus={"shards": [*shards, f"s3://{bucket}/more/{place}/{name}"]})


def current(job: Job) -> bytes:
    return files.read_bytes(files.join(job.settings["store"], "CURRENT"))


def answers(job: Job, queries: object, out: str | None = None) -> dict[str, bytes]:
    """Both tables of a query job."""
    out = out or str(job.folder / "out")
    done = job.run("query", queries, "--out", out, "--format", "csv", "-k", "24")
    assert done.code == 0, done
    return {name: files.read_bytes(files.join(out, f"{name}.csv")) for name in ("results", "failures")}


@pytest.fixture
def questions(pictures, tmp_path) -> Path:
    """A folder of query images, one of them broken."""
    folder = tmp_path / "questions"
    folder.mkdir()
    for name in sorted(pictures)[:5]:
        (folder / name).write_bytes(pictures[name])
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


# The whole of it


def test_answers_are_those_of_a_local_store_byte_for_byte(
    server, night, published, questions, bucket, tmp_path
):
    here = answers(job_of(published, tmp_path, str(published.shards), str(published.store)), questions)
    asked = s3_server.upload(server.client, questions, bucket, "questions")
    assert answers(night, asked, f"s3://{bucket}/answers") == here
    assert here["results"].count(b"\n") == 5 * 24 + 1
    assert here["failures"].count(b"\n") == 2


def test_every_artifact_is_that_of_a_local_store_byte_for_byte(server, night, published):
    there = dict(contents(server.client, night.settings["store"].split("/")[2], "store"))
    index = [name for name in there if name.startswith("indexes/")]
    # Index shards are named by embedding files, and these tell the shard's name, which is longer here.
    by_name = {"origins.arrow", "manifest.json"}
    here = {path.name: path.read_bytes() for path in published.store.glob("indexes/*/*")}
    found = {name.rpartition("/")[2]: there[name] for name in index}
    assert found.keys() == here.keys() > by_name
    assert all(found[name] == here[name] for name in here.keys() - by_name)


@pytest.mark.parametrize(
    "format",
    [
        pytest.param("webdataset", marks=pytest.mark.slow),
        "parquet",
        pytest.param("folder", marks=pytest.mark.slow),
    ],
)
def test_shards_of_every_format_are_read(server, published, pictures, questions, bucket, tmp_path, format):
    job = job_of(published, tmp_path, "", f"s3://{bucket}/store")
    if format == "folder":
        for name, content in pictures.items():
            server.client.put_object(Bucket=bucket, Key=f"photos/{name}", Body=content)
        job.set(corpus={"shards": f"s3://{bucket}/photos/", "metadata": {}})
    else:
        job.pack(pictures, format)
        shards = s3_server.upload(server.client, job.shards, bucket, "shards")
        job.set(corpus={"shards": f"{shards}/shard-{{00000..00002}}-of-00003.*"})
    job.nightly()
    job.query(questions, "-k", "24")
    ours = job.results
    there = job_of(published, tmp_path, str(published.shards), str(published.store))
    there.query(questions, "-k", "24")
    assert ours.select(range(4)).equals(there.results.select(range(4)))


def test_an_unchanged_night_publishes_nothing_and_a_new_shard_costs_that_shard(server, copied):
    before = current(copied)
    assert "still served" in copied.nightly().out
    assert current(copied) == before
    add_shard(server, copied)
    assert "1 new" in copied.run("nightly", "--dry-run").out
    assert current(copied) == before
    server.reset()
    copied.nightly()
    assert current(copied) != before
    assert not [request for request in server.seen if request.startswith("GET") and "/shards/" in request]
    report = json.loads(files.read_bytes(files.join(copied.settings["store"], "reports/latest.json")))
    assert report["shards"] == {"read": 1, "unchanged": 3, "unfinished": 0, "late": 0}
    assert report["records"]["embedded"] == 4


@pytest.mark.slow
def test_generations_are_listed_checked_rolled_back_and_pruned(server, copied, monkeypatch):
    first = current(copied).decode().split()[0]
    add_shard(server, copied)
    copied.nightly()
    second = current(copied).decode().split()[0]

    def generations(*arguments: object):
        return run("generations", arguments[0], "-c", copied.config, *arguments[1:])

    listed = json.loads(generations("list", "--json").out)
    assert [(one["name"], one["current"]) for one in listed] == [(first, False), (second, True)]
    assert f"generation   {second} (served)" in generations("show").out
    assert generations("verify").code == 0
    assert "0 problems" in generations("verify").out
    assert generations("rollback").code == 0
    assert current(copied).decode().split()[0] == first
    assert generations("rollback", "--to", second).code == 0
    pruned = generations("prune", "--keep", 1)
    assert f"waiting      {first}" in pruned.out
    assert [one["name"] for one in json.loads(generations("list", "--json").out)] == [second]
    monkeypatch.setattr("lookalike.store.prune.GRACE_SECONDS", -60.0)
    assert f"deleted      {first}" in generations("prune", "--keep", 1).out
    assert generations("verify").code == 0
    store = copied.settings["store"]
    held = {file.path.removeprefix(store) for file in files.list_files(store)}
    assert not any(first in path for path in held)
    assert len({path.split("/")[2] for path in held if path.startswith("/indexes/")}) == 1


def test_takedowns_hold_at_once(copied, pictures, questions):
    name = sorted(pictures)[0]
    assert f',"{name}",'.encode() in answers(copied, questions)["results"]

    def exclude(*arguments: object):
        return run("exclude", arguments[0], "-c", copied.config, *arguments[1:])

    done = exclude("add", name, "no-such-id", "--reason", "asked")
    assert done.code == 4, done
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("unknown")] == [
        "'no-such-id':"
    ]
    assert [row["item_id"] for row in json.loads(exclude("list", "--json").out)] == ["no-such-id", name]
    assert f',"{name}",'.encode() not in answers(copied, questions)["results"]
    assert exclude("remove", name).code == 0
    assert f',"{name}",'.encode() in answers(copied, questions)["results"]


# Requests


@pytest.mark.slow
def test_shards_are_found_by_a_request_for_1000_however_they_are_named(server, bucket):
    paths = [f"s3://{bucket}/s/x-{number:05}.tar" for number in range(2500)]
    server.fill(bucket, (path.partition(f"{bucket}/")[2] for path in paths))
    files.write_bytes(f"s3://{bucket}/list.txt", "\n".join(paths).encode())
    for named, beside in (
        (f"s3://{bucket}/s/x-{{00000..02499}}.tar", {}),
        (f"s3://{bucket}/s/*.tar", {}),
        (paths, {}),
        (f"s3://{bucket}/list.txt", {"HEAD": 1, "GET": 1}),
    ):
        server.reset()
        shards = find_shards(named, SourceOptions())
        assert [shard.place for shard in shards] == paths
        assert server.kinds() == {"LIST": 3, **beside}
    # Whether it is a folder is asked for before.
    server.reset()
    assert len(find_shards(f"s3://{bucket}/s", SourceOptions())) == 2500
    assert server.kinds() == {"HEAD": 1, "LIST": 1 + 3}


@pytest.mark.slow
def test_an_unchanged_night_asks_nothing_for_a_shard(server, night, published, pictures, bucket, tmp_path):
    job = job_of(published, tmp_path, "", f"s3://{bucket}/store")
    job.pack(pictures, per_shard=2)
    s3_server.upload(server.client, job.shards, bucket, "shards")
    job.set(corpus={"shards": f"s3://{bucket}/shard*/*.tfrecord"})
    job.nightly()
    counts = []
    for one in (night, job):
        server.reset()
        assert "still served" in one.nightly().out
        counts.append(len(server.seen))
        assert not lists(server, "embeddings/")
    assert counts[1] == counts[0]
    assert counts[0] == 28


def lists(server, folder: str) -> int:
    """Requests so far that listed a folder of the store."""
    return sum(f"prefix=store/{folder}" in unquote(r) for r in server.seen if "list-type=" in r)


@pytest.mark.slow
def test_a_plan_of_2500_shards_lists_the_corpus_only(server, published, bucket, tmp_path):
    job = job_of(published, tmp_path, f"s3://{bucket}/s/*.tar", f"s3://{bucket}/store")
    server.fill(bucket, (f"s/x-{number:05}.tar" for number in range(2500)))
    empty = make_plan(job.loaded)
    assert server.kinds()["LIST"] == 3 + 1
    store, notes = job.settings["store"], []
    for number, shard in enumerate(empty.shards):
        base = base_path(shard.name, f"{number:064x}", empty.fingerprint, empty.options_digest)
        fields = {"shard": shard.name, "token": shard.token, "encoder": empty.fingerprint}
        fields |= {"path": f"{base}.parquet", "rejects_path": f"{base}.rejects.parquet"}
        notes.append(a_note(**fields, digest=f"{number:064x}", options=empty.options_digest))
        paths = (base + end for end in (".parquet", ".rejects.parquet", ".json"))
        server.fill(bucket, (f"store/{path}" for path in paths))
    server.reset()
    keep_notes(store, empty.fingerprint, notes)
    assert server.kinds() == {"LIST": 8, "GET": 1, "PUT": 2}
    server.reset()
    plan = make_plan(job.loaded)
    assert plan.finished.all()
    assert list(plan.notes) == notes
    assert server.kinds() == {"LIST": 3, "GET": 2}
    for how in ("sealed no more", "gates.digests: all"):
        server.reset()
        if how == "sealed no more":
            break_seal(store, empty.fingerprint)
        else:
            keep_notes(store, empty.fingerprint, ())
            job.set(gates={"digests": "all"})
            server.reset()
        assert make_plan(job.loaded).finished.all()
        assert server.kinds()["LIST"] == 3 + 8


def delete_behind(server, job: Job, which: str) -> str:
    """Deletes a file of one of the job's shards; gives the shard's name."""
    note = make_plan(job.loaded).notes[1]
    bucket = job.settings["store"].split("/")[2]
    key = f"store/{getattr(note, which)}"
    server.client.delete_object(Bucket=bucket, Key=key)
    server.reset()
    return note.shard


@pytest.mark.slow
@pytest.mark.parametrize("which", ["path", "rejects_path"])
def test_what_was_deleted_behind_a_night_is_embedded_by_the_night_that_needs_it(server, copied, which):
    shard = delete_behind(server, copied, which)
    before = current(copied)
    assert "still served" in copied.nightly().out  # which needs no embedding file
    assert not lists(server, "embeddings/")
    copied.set(index={"recall_target": 0.9})
    files.delete([files.join(copied.settings["store"], "kept")])
    done = copied.nightly()
    assert f"embedding files of 1 shards in {copied.settings['store']} ({shard})" in done.err
    assert "the night begins again" in done.err
    assert lists(server, "embeddings/")
    assert current(copied) != before
    assert run("generations", "verify", "-c", copied.config).code == 0
    plan = make_plan(copied.loaded)
    assert (plan.finished.all(), plan.are_kept) == (True, True)


@pytest.mark.slow
def test_an_index_that_misses_embedding_files_says_what_embeds_them(server, copied):
    shard = delete_behind(server, copied, "path")
    copied.set(index={"recall_target": 0.9})
    done = copied.run("index")
    assert done.code == 2
    assert f"({shard}), which `lookalike embed` or `lookalike nightly` embeds again" in done.sentence
    assert "1 embedded, 2 finished before" in copied.run("embed").out
    assert copied.run("index").code == 0


A_CHANGED_SHARD = 27
"""Requests: 2 for the shard itself, 7 that read its note and the embedding files of before and of now, 3 that write, 3
for the mark that it is worked on, and 12 for files of the run."""
A_LOOK = 1
"""Request for each of up to eight of these shards, whose pictures are looked at for the health of the catalogue."""


class ChangingCorpus:
    """Shards of two pictures in a bucket, and a job of its own on them."""

    def __init__(self, server, published, folder: Path, bucket: str, shards: int) -> None:
        self.server, self.bucket = server, bucket
        self.pictures = {f"p{number:03}.jpg": picture(number) for number in range(2 * shards)}
        folder.mkdir()
        self.job = job_of(published, folder, f"s3://{bucket}/shards/", f"s3://{bucket}/store")
        self.job.set(gates={"digests": "new"}, index={"grow": 1.0})
        self.put(range(shards))

    def put(self, shards: Iterable[int]) -> None:
        """Writes some shards as they are now."""
        shutil.rmtree(self.job.folder / "shards", ignore_errors=True)
        packed = sorted(map(Path, self.job.pack(self.pictures, per_shard=2)))
        self.job.set(corpus={"shards": f"s3://{self.bucket}/shards/"})
        for path in (packed[shard] for shard in shards):
            key = f"shards/{path.name}"
            self.server.client.put_object(Bucket=self.bucket, Key=key, Body=path.read_bytes())

    def night_after_changes(self, *shards: int) -> list[str]:
        """The requests of a night before which one picture of some shards was replaced."""
        for shard in shards:
            self.pictures[f"p{2 * shard:03}.jpg"] = picture(500 + shard)
        self.put(shards)
        self.server.reset()
        assert f"{len(shards)} embedded" in self.job.nightly().out
        return self.server.seen


@pytest.mark.slow
def test_a_night_asks_for_the_shards_that_changed_and_nothing_for_the_others(server, published, tmp_path):
    counts = {}
    for shards, changed in ((3, 1), (12, 1), (24, 1), (12, 3)):
        folder = tmp_path / f"{shards}-{changed}"
        corpus = ChangingCorpus(server, published, folder, server.make_bucket(), shards)
        corpus.job.nightly()
        seen = corpus.night_after_changes(*range(changed))
        # How often progress is told depends on time.
        asked = Counter(request for request in seen if "/progress" not in request)
        counts[shards, changed] = sum(asked.values())
        read = [r for r in asked if r.startswith("GET") and "/embeddings/" in r and r.endswith(".parquet")]
        # The embedding file of before and, with its rejects, that of now.
        assert len(read) == 3 * changed
    print(counts)
    assert counts[3, 1] == counts[12, 1] == counts[24, 1]
    assert counts[12, 3] - counts[12, 1] == 2 * (A_CHANGED_SHARD + A_LOOK)


def test_the_index_is_fetched_once_and_a_damaged_copy_again(server, night, questions, tmp_path):
    def query() -> int:
        server.reset()
        answers(night, questions)
        return sum("/indexes/" in r and r.startswith("GET") and "manifest" not in r for r in server.seen)

    assert query() == 4
    assert query() == 0
    [copy] = (tmp_path / "cache").glob("*/copy/items.arrow")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1])
    assert query() == 4
    assert copy.read_bytes() == whole


def test_a_table_without_rows_is_written(server, night, pictures, bucket):
    ids = f"s3://{bucket}/ids.txt"
    files.write_bytes(ids, sorted(pictures)[0].encode())
    assert night.run("query", ids, "--out", f"s3://{bucket}/out", "--format", "jsonl").code == 0
    assert files.read_bytes(f"s3://{bucket}/out/failures.jsonl") == b""


# A run that dies


@pytest.fixture(scope="module")
def forks(s3, tmp_path_factory):
    forks = Forks("tests.support.s3_nights", tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()


def kill_nights(server, forks, job, questions, points) -> None:
    """Kills a night at each point; what is served is whole, and the next night ends as an undisturbed one."""
    bucket, client = job.settings["store"].split("/")[2], server.client
    prepared = dict(contents(client, bucket, "store"))
    before = answers(job, questions)
    add_shard(server, job)
    after = None
    for at in (None, *points):
        for key, content in prepared.items():
            client.put_object(Bucket=bucket, Key=f"store{at}/{key}", Body=content)
        job.set(store=f"s3://{bucket}/store{at}")
        (place := job.folder / f"killed-at-{at}").mkdir()
        ended = forks.call("command", place, arguments=["nightly", "-c", str(job.config)], at=at)
        if at is None:
            assert ended.value is not None, ended.log
            assert ended.value["code"] == 0, ended.value
            assert ended.value["writes"] > max(points)
            after = answers(job, questions)
            assert after != before
        else:
            assert ended.signal == signal.SIGKILL, (at, ended)
            assert answers(job, questions) in (before, after)
            job.nightly()
            assert answers(job, questions) == after
            fingerprint = make_plan(job.loaded).fingerprint
            found, true = (
                finished_shards(job.settings["store"], fingerprint, look) for look in (False, True)
            )
            assert list(found.notes) == list(true.notes)  # listed or not


@pytest.mark.slow
def test_a_night_that_is_killed_leaves_what_was_served(server, forks, copied, questions):
    # In an embedding file, in the index shard and right before CURRENT.
    kill_nights(server, forks, copied, questions, (9, 20, 29))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_night_that_is_killed_at_any_request(server, forks, copied, questions):
    kill_nights(server, forks, copied, questions, range(1, 34, EVERY))


def test_the_lease_of_a_dead_run_is_taken_over(copied):
    holder = Holder("nightly", "elsewhere", 7, "2026-01-01T00:00:00+00:00", "lookalike nightly", token="t")
    files.write_bytes(files.join(copied.settings["store"], "LOCK"), holder.to_json())
    assert "left by a run that died: lookalike nightly on host elsewhere" in copied.nightly().err
    assert not files.exists(files.join(copied.settings["store"], "LOCK"))


def test_taking_and_keeping_a_lease_costs_few_requests(server, bucket):
    lease = Lease(f"s3://{bucket}/LOCK", this_process("index"))
    # One that writes, and one that shows that the server keeps the condition.
    for call, requests in (
        (lease.take, {"GET": 1, "PUT": 2}),
        (lease.renew, {"GET": 1, "PUT": 1}),
        (lease.check, {"GET": 1}),
    ):
        server.reset()
        call()
        assert server.kinds() == requests
    server.reset(from_the(1, "501 Not Implemented", of=lambda request: request.startswith("PUT")))
    other = Lease(f"s3://{bucket}/OTHER", this_process("index"))
    with pytest.raises(LookalikeError, match="writes an object only if it is absent"):
        other.take()


# Faults


def fails(server, job: Job, *words: str, fault: Fault | None = None) -> None:
    """A night fails with a sentence that holds these words; what was served still is."""
    before = current_behind(server, job)
    server.reset(fault)
    done = job.run("nightly")
    assert done.code, done
    for word in words:
        assert word in done.sentence
    assert len(done.sentence) < 400
    server.reset()
    gc.collect()  # where a forgotten upload would be completed
    assert current_behind(server, job) == before


def current_behind(server, job: Job) -> bytes:
    place = {"Bucket": job.settings["store"].split("/")[2], "Key": "store/CURRENT"}
    return server.client.get_object(**place)["Body"].read()


@pytest.mark.slow
def test_a_server_that_fails_from_some_moment_on(server, copied, environ):
    environ(AWS_MAX_ATTEMPTS="1")
    add_shard(server, copied)
    for number in (1, 20, 40, 60):
        fails(server, copied, fault=from_the(number))
    copied.nightly()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_server_that_fails_from_any_moment_on(server, copied, environ):
    environ(AWS_MAX_ATTEMPTS="1")
    add_shard(server, copied)
    before = current_behind(server, copied)
    for number in itertools.count(1, EVERY):
        server.reset(from_the(number))
        done = copied.run("nightly")
        server.reset()
        gc.collect()
        if current_behind(server, copied) != before:
            break
        assert done.code
        assert "500 Internal Server Error" in done.sentence
    assert number > 60
    copied.nightly()


@pytest.mark.slow
def test_a_server_that_fails_once_is_asked_again(server, copied):
    add_shard(server, copied)
    server.reset(once(of=lambda request: request.startswith("PUT") and "/embeddings/" in request))
    copied.nightly()


@pytest.mark.slow
def test_a_server_that_does_not_answer(server, copied, environ, monkeypatch):
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(stores, "UPLOAD_SECONDS", 0.2)
    environ(AWS_MAX_ATTEMPTS="2")
    add_shard(server, copied)
    fails(server, copied, f"no answer from {server.url}", fault=from_the(30, HANG))
    copied.nightly()


def test_a_server_that_is_not_there(server, asking, environ):
    environ(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    fails(server, asking, "could not connect to http://127.0.0.1:9", "s3://")


def test_without_credentials(server, asking, environ):
    environ(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    fails(server, asking, "Unable to locate credentials")


@pytest.mark.slow
def test_without_permission(server, copied):
    add_shard(server, copied)
    no_writing = from_the(1, "403 Forbidden", of=lambda r: r.startswith("PUT") and "/embeddings/" in r)
    fails(server, copied, "Forbidden", "embeddings", fault=no_writing)
    no_reading = from_the(1, "403 Forbidden", of=lambda r: r.startswith("HEAD") and "/more/" in r)
    fails(server, copied, "403", "/new.tfrecord", fault=no_reading)
    copied.nightly()


@pytest.mark.parametrize("key", ["store", "corpus"])
def test_a_bucket_that_does_not_exist(asking, key):
    url = "s3://no-such-bucket/x"
    settings = {"store": url} if key == "store" else {"corpus": {"shards": f"{url}/*.tar"}}
    done = asking.set(**settings).run("nightly")
    assert done.code == 2
    assert "bucket does not exist" in done.sentence
    assert url in done.sentence


def test_a_query_fails_with_a_sentence_and_without_results(server, night, questions, bucket, environ):
    environ(AWS_MAX_ATTEMPTS="1")
    for number in itertools.count(1, 6):
        server.reset(from_the(number))
        done = night.run("query", questions, "--out", f"s3://{bucket}/out")
        server.reset()
        if not done.code:
            break
        assert "500 Internal Server Error" in done.sentence
        assert "results.parquet" not in dict(contents(server.client, bucket, "out"))
    assert number > 24


def test_the_encoder_is_a_local_folder(asking):
    done = asking.set(encoder="s3://bucket/encoder").run("nightly")
    assert done.code == 2
    assert "folder on this machine" in done.sentence


def test_a_folder_is_packed_to_a_bucket_and_again_where_it_changed(server, bucket, tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"%d" % number)
    out = f"s3://{bucket}/packed"
    first = pack(str(tmp_path), out, format="tfrecord", images_per_shard=4)
    assert (len(first.shards), first.unchanged, first.removed) == (6, 0, 0)
    (tmp_path / "19a.jpg").write_bytes(b"new")
    server.reset()
    second = pack(str(tmp_path), out, format="tfrecord", images_per_shard=4)
    assert (second.shards, second.unchanged, second.removed) == (first.shards, 5, 0)
    assert sum(request.startswith("PUT") and "shard-" in request for request in server.seen) <= 2
    for number in range(10):
        (tmp_path / f"{number:02}.jpg").unlink()
    assert pack(str(tmp_path), out, format="tfrecord", images_per_shard=4).removed > 0
    shards = find_shards(out, SourceOptions())
    found = {record.item_id for shard in shards for record in read_shard(shard, SourceOptions())}
    assert found == {path.name for path in tmp_path.iterdir()}


def test_arrow_tells_what_s3_said(server, bucket, environ):
    environ(AWS_MAX_ATTEMPTS="1")
    table = io.BytesIO()
    pa.parquet.write_table(pa.table({"id": ["a"], "image": [os.urandom(3 << 20)]}), table)
    files.write_bytes(f"s3://{bucket}/x.parquet", table.getvalue())
    [shard] = find_shards(f"s3://{bucket}/x.parquet", SourceOptions())
    server.reset(from_the(2))
    with pytest.raises(OSError, match="InternalServerError"):
        list(read_shard(shard, SourceOptions()))
