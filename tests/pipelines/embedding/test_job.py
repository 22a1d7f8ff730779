"""The embedding job: what it writes, what it repeats, and what becomes of every kind of bad shard."""

import errno
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import cv2
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.embedding import job as embed_module
from lookalike.embedding.shard_work import ShardWork
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.errors import LookalikeError
from lookalike.sources.tfrecord import Example, frame
from tests.conftest import DIM, picture, run
from tests.support.encoding import encode

FORMATS = ("tfrecord", "webdataset", "parquet", "folder")
COUNTS = ("read", "embedded", "reused", "rejected", "duplicates")


def corpus(job, pictures, format):
    """The pictures as a corpus of that format, in several shards."""
    if format != "folder":
        return job.pack(pictures, format)
    for name, content in pictures.items():
        (job.shards / name[:2]).mkdir(parents=True, exist_ok=True)
        (job.shards / name[:2] / name).write_bytes(content)
    job.set(corpus={"images_per_shard": 8, "metadata": {"directory": "string"}})
    return None


def counts(note):
    return tuple(note[name] for name in COUNTS)


def one_shard(job, content: bytes, name: str) -> Path:
    """A corpus of one shard file with that content."""
    job.shards.mkdir()
    path = job.shards / name
    path.write_bytes(content)
    return path


def tfrecord(*records: tuple[bytes, bytes]) -> bytes:
    """A TFRecord file of (id, image)."""
    data = []
    for item_id, image in records:
        example = Example()
        example.features.feature["id"].bytes_list.value.append(item_id)
        example.features.feature["image/encoded"].bytes_list.value.append(image)
        data.append(frame(example.SerializeToString()))
    return b"".join(data)


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


@pytest.mark.parametrize("format", FORMATS[:3])
def test_rows_keep_the_order_of_the_shard_and_carry_its_metadata(job, pictures, format):
    job.pack(pictures, format)
    assert job.run("embed").code == 0
    table = job.embeddings
    assert table["item_id"].to_pylist() == sorted(pictures)
    assert table["number"].to_pylist() == list(range(24))
    assert table["title"].to_pylist() == [f"tïtle, {name}" for name in sorted(pictures)]


def test_an_embedding_file_has_the_columns_of_the_contract(job, pictures, encoder):
    (shard, *_) = job.pack(pictures)
    job.settings["corpus"]["metadata"] = {"title": "string", "number": "float64"}
    assert job.run("embed").code == 0
    note = job.notes[os.path.basename(shard)]
    schema = pq.read_schema(job.store / note["path"])
    element = pa.field("element", pa.float32(), nullable=False)
    assert [(f.name, f.type) for f in schema] == [
        ("item_id", pa.string()),
        ("embedding", pa.list_(element, DIM)),
        ("content_hash", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("title", pa.string()),
        ("number", pa.float64()),
    ]
    assert not schema.field("embedding").type.value_field.nullable
    stored = pq.read_metadata(job.store / note["path"]).metadata
    facts = {k: v for k, v in stored.items() if k.startswith(b"lookalike.")}
    assert facts == {
        b"lookalike.encoder": Encoder.load(encoder).fingerprint.encode(),
        b"lookalike.shard": shard.encode(),
        b"lookalike.shard_digest": note["digest"].encode(),
    }


def test_duckdb_reads_an_embedding_file_without_help(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    paths = [str(job.store / note["path"]) for note in job.notes.values()]
    rows = duckdb.sql(
        f"SELECT item_id, len(embedding), list_sum(embedding) FROM read_parquet({paths}) ORDER BY item_id"
    ).fetchall()
    assert [(row[0], row[1]) for row in rows] == [(name, DIM) for name in sorted(pictures)]
    sums = [sum(vector) for vector in job.embeddings["embedding"].to_pylist()]
    np.testing.assert_allclose([row[2] for row in rows], sums, atol=1e-5)


def test_a_second_run_embeds_nothing(job, pictures, monkeypatch):
    job.pack(pictures)
    assert job.run("embed").code == 0
    before = _times(job.store / "embeddings")
    monkeypatch.setattr(Encoder, "submit", lambda *_: pytest.fail("an image was encoded"))
    done = job.run("embed")
    assert (done.code, done.err) == (0, "")
    assert "0 embedded, 3 finished before" in done.out
    assert _times(job.store / "embeddings") == before


def _times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_only_a_changed_shard_is_embedded_again(job, pictures):
    shards = job.pack(pictures)
    assert job.run("embed").code == 0
    before = {path: path.read_bytes() for path in job.store.rglob("*") if path.is_file()}
    Path(shards[1]).write_bytes(tfrecord((b"new", picture(77))))
    done = job.run("embed")
    assert "1 embedded, 2 finished before" in done.out
    after = {path: path.read_bytes() for path in job.store.rglob("*") if path.is_file()}
    assert after.items() >= before.items(), "what was finished is never modified"
    (note,) = (json.loads(after[path]) for path in after.keys() - before.keys() if path.suffix == ".json")
    assert note["shard"] == shards[1]
    assert counts(note) == (1, 1, 0, 0, 0)


def test_a_touched_shard_of_the_same_content_gives_the_same_file(job, pictures):
    (shard,) = job.pack(pictures, per_shard=24)
    assert job.run("embed").code == 0
    (before,) = job.notes.values()
    os.utime(shard, (1, 1))
    assert "1 embedded, 0 finished before" in job.run("embed").out
    (after,) = job.notes.values()
    assert (after["path"], after["sha256"]) == (before["path"], before["sha256"])


def test_what_is_embedded_depends_on_neither_threads_nor_the_other_shards(job, pictures):
    job.pack(pictures)
    job.set(embed={"threads": 1}, store=str(job.folder / "one"))
    assert job.run("embed").code == 0
    job.set(embed={"threads": 3}, store=str(job.folder / "three"))
    assert job.run("embed").code == 0
    one, three = (sorted((job.folder / name).rglob("*.parquet")) for name in ("one", "three"))
    assert [path.name for path in one] == [path.name for path in three]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in three]


def test_a_stopped_run_goes_on_where_it_was_without_repeating_finished_shards(job, pictures, monkeypatch):
    job.pack(pictures, per_shard=2)
    job.set(embed={"threads": 1})
    encode, calls = Encoder.encode_batch, []

    def stopped(self, images):
        calls.append(images)
        if len(calls) == 8:
            raise LookalikeError("the machine went down")
        return encode(self, images)

    monkeypatch.setattr(Encoder, "encode_batch", stopped)
    first = job.run("embed")
    assert (first.code, first.sentence) == (2, "the machine went down")
    assert len(job.notes) == 7
    assert not [path for path in job.store.rglob("*") if ".tmp-" in path.name]
    calls.clear()
    monkeypatch.setattr(
        Encoder, "encode_batch", lambda self, images: (calls.append(images), encode(self, images))[1]
    )
    second = job.run("embed")
    assert "5 embedded, 7 finished before" in second.out
    assert len(calls) == 5
    assert job.embeddings["item_id"].to_pylist() == sorted(pictures)


def test_what_a_killed_run_left_half_written_is_never_read(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    (folder,) = job.store.glob("embeddings/*")
    (folder / ".embedding.tmp-abc").write_bytes(b"PAR1 half")
    finished = next(folder.glob("*.json"))
    finished.unlink()
    done = job.run("nightly")
    assert "1 embedded, 2 finished before" in done.out
    assert job.generation["counts"]["items"] == 24


def test_another_encoder_or_way_of_reading_embeds_everything_again_beside_the_old(
    job, pictures, other_encoder
):
    job.pack(pictures)
    assert job.run("embed").code == 0
    job.set(encoder=str(other_encoder))
    assert "3 embedded, 0 finished" in job.run("embed").out
    job.settings["corpus"]["metadata"] = {}
    assert "3 embedded, 0 finished" in job.run("embed").out
    assert len(list(job.store.glob("embeddings/*/*.json"))) == 9
    assert len(list(job.store.glob("embeddings/*"))) == 2


def test_a_damaged_note_is_named_and_says_how_to_mend_it(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    note = next(job.store.glob("embeddings/*/*.json"))
    note.write_text(note.read_text()[:-9])
    done = job.run("embed")
    assert done.code == 2
    assert str(note) in done.sentence
    assert "delete it" in done.sentence
    note.unlink()
    assert job.run("embed").code == 0


def png_bomb() -> bytes:
    """A picture of 40,000 x 40,000 pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(120_001 * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GOOD = picture(1)
BAD_IMAGES = {
    "empty": (b"", "empty"),
    "text named .jpg": (b"this is no picture at all\n" * 9, "not"),
    "bomb": (png_bomb(), "40000"),
    "truncated": (GOOD[: len(GOOD) // 2], ""),
    "header only": (GOOD[:20], ""),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("format", ["tfrecord", "folder"])
def test_a_bad_image_is_one_row_in_rejects_and_the_others_are_embedded(job, format, kind):
    content, reason = BAD_IMAGES[kind]
    images = {"a.jpg": picture(1), "bad.jpg": content, "z.jpg": picture(2)}
    corpus(job, images, format)
    done = job.run("embed")
    assert done.code == 0
    assert "3 read = 2 embedded + 0 reused + 1 rejected + 0 duplicate" in done.out
    (reject,) = job.rejects
    assert reject["item_id"].endswith("bad.jpg")
    assert (reject["stage"], reject["position"]) == ("decode", 1)
    assert reason in reject["error"].lower()
    assert "\n" not in reject["error"]
    assert [name.rpartition("/")[2] for name in job.embeddings["item_id"].to_pylist()] == ["a.jpg", "z.jpg"]


def test_an_id_that_comes_twice_in_a_shard_is_embedded_once(job):
    one_shard(job, tfrecord((b"a", picture(1)), (b"b", picture(2)), (b"a", picture(3))), "x.tfrecord")
    assert job.run("embed").code == 0
    (note,) = job.notes.values()
    assert counts(note) == (3, 2, 0, 0, 1)
    (reject,) = job.rejects
    assert (reject["item_id"], reject["position"], reject["stage"]) == ("a", 2, "duplicate")
    first, _ = job.embeddings["content_hash"].to_pylist()
    assert first == hashlib.sha256(picture(1)).hexdigest()


def test_an_id_that_is_not_utf8_is_rejected_and_shown_escaped(job):
    one_shard(job, tfrecord((b"a", GOOD), (b"caf\xe9", GOOD), (b"", GOOD)), "x.tfrecord")
    assert job.run("embed").code == 0
    (note,) = job.notes.values()
    assert counts(note) == (3, 1, 0, 2, 0)
    assert [(r["item_id"], r["stage"]) for r in job.rejects] == [("caf\\xe9", "id"), (None, "id")]


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


WHOLE = tfrecord((b"a", picture(1)), (b"b", picture(2)), (b"c", picture(3)))
BOUNDARY = len(tfrecord((b"a", picture(1))))
DAMAGED = {
    "empty": (b"", (1, 0, 0, 1, 0), "empty file"),
    "truncated": (WHOLE[:-50], (3, 2, 0, 1, 0), "cut in record 2"),
    "truncated in a header": (WHOLE[: BOUNDARY + 5], (2, 1, 0, 1, 0), "cut in the header of record 1"),
    "length checksum broken": (flipped(WHOLE, BOUNDARY + 1), (2, 1, 0, 1, 0), "length checksum of record 1"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_tfrecord_is_read_as_far_as_it_goes_and_named(job, kind):
    content, expected, reason = DAMAGED[kind]
    path = one_shard(job, content, "x.tfrecord")
    done = job.run("embed")
    assert done.code == 3
    assert f"DAMAGED      {path}: " in done.out
    assert reason in done.out
    (note,) = job.notes.values()
    assert counts(note) == expected
    assert reason in job.rejects[-1]["error"]
    assert job.run("embed").code == 3, "it is still damaged, also when nothing has to be done"


def test_a_record_whose_checksum_is_broken_is_rejected_alone(job):
    one_shard(job, flipped(WHOLE, BOUNDARY + 60), "x.tfrecord")
    assert job.run("embed").code == 0
    (note,) = job.notes.values()
    assert counts(note) == (3, 2, 0, 1, 0)
    assert (job.rejects[0]["position"], job.rejects[0]["stage"]) == (1, "read")
    assert job.embeddings["item_id"].to_pylist() == ["a", "c"]


def test_a_truncated_tar_is_read_as_far_as_it_goes_and_named(job, pictures):
    (shard,) = job.pack(pictures, "webdataset", per_shard=24)
    content = Path(shard).read_bytes()
    Path(shard).write_bytes(content[: len(content) // 2 + 700])
    done = job.run("embed")
    assert done.code == 3
    (note,) = job.notes.values()
    read, embedded, _, rejected, _ = counts(note)
    assert 8 < embedded < 16
    assert (rejected, read) == (1, embedded + 1)
    assert job.embeddings["item_id"].to_pylist() == sorted(pictures)[:embedded]


def test_a_member_of_a_tar_without_its_partner_is_rejected_alone(job, pictures):
    (shard,) = job.pack(dict(list(pictures.items())[:3]), "webdataset")
    folder = job.folder / "members"
    with tarfile.open(shard) as archive:
        archive.extractall(folder, filter="data")
    picture_file = sorted(path for path in folder.rglob("*") if path.suffix == ".jpg")[1]
    picture_file.unlink()
    with tarfile.open(shard, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.add(path, path.relative_to(folder))
    assert job.run("embed").code == 0
    (note,) = job.notes.values()
    assert counts(note) == (3, 2, 0, 1, 0)
    (reject,) = job.rejects
    assert reject["stage"] == "read"
    assert "no image member" in reject["error"]


def test_a_parquet_without_an_id_column_is_named_with_the_columns_it_has(job):
    job.shards.mkdir()
    pq.write_table(pa.table({"image": [GOOD], "price": [1.0]}), job.shards / "x.parquet")
    done = job.run("embed")
    assert done.code == 3
    assert "no id column" in done.out
    assert "corpus.id_field" in done.out
    assert "price (double)" in done.out


@pytest.mark.parametrize("kind", ["truncated", "no footer", "garbage"])
def test_a_damaged_parquet_is_named(job, pictures, kind):
    (shard,) = job.pack(pictures, "parquet", per_shard=24)
    content = Path(shard).read_bytes()
    damaged = {"truncated": content[:-100], "no footer": content[:200], "garbage": b"PAR1" + b"x" * 500}[kind]
    Path(shard).write_bytes(damaged)
    assert job.run("embed").code == 3
    (note,) = job.notes.values()
    assert counts(note) == (1, 0, 0, 1, 0)
    assert note["damaged"]


def test_a_shard_that_vanishes_while_the_run_goes_is_named(job, pictures, monkeypatch):
    shards = job.pack(pictures)
    load = embed_module.open_encoder

    def slow(*arguments):
        os.unlink(shards[1])
        return load(*arguments)

    monkeypatch.setattr(embed_module, "open_encoder", slow)
    done = job.run("embed")
    assert done.code == 2
    assert done.sentence == f"{shards[1]}: No such file or directory: {shards[1]}"


def test_a_shard_that_changes_while_the_run_goes_is_named(job, pictures, monkeypatch):
    shards = job.pack(pictures)
    finish = embed_module.EmbedShards._finish

    def changing(self, work):
        os.utime(shards[0], (1, 1))
        return finish(self, work)

    monkeypatch.setattr(embed_module.EmbedShards, "_finish", changing)
    done = job.run("embed")
    assert done.code == 2
    assert "changed while they were read" in done.sentence
    assert shards[0] in done.sentence


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


def test_a_full_disk_is_told_and_leaves_nothing_half_written(job, pictures, mounted):
    job.pack(pictures, per_shard=2)
    store = mounted("store", 72)
    done = job.run("embed")
    assert done.code == 2
    assert "No space left on device" in done.sentence
    assert not [path for path in store.rglob("*") if ".tmp-" in path.name]
    for note in job.notes.values():
        assert hashlib.sha256((store / note["path"]).read_bytes()).hexdigest() == note["sha256"]
    subprocess.run(["mount", "-o", "remount,size=4m", str(store)], check=True)
    assert job.run("embed").code == 0
    assert job.embeddings["item_id"].to_pylist() == sorted(pictures)


def test_an_image_to_which_the_network_gives_zeros_is_rejected(job, make_encoder):
    """A vector of zeros has no direction: one such item would make the whole index impossible."""
    make_encoder(job.folder / "encoder", dim=None, variant="float", use_bias=False)
    job.set(encoder=str(job.folder / "encoder"))
    grey = cv2.imencode(".png", np.full((40, 40, 3), 127, np.uint8))[1].tobytes()
    job.pack({"a.jpg": GOOD, "grey.png": grey})
    assert job.run("nightly", "--set", "gates.max_reject_fraction=0.5").code == 0
    (reject,) = job.rejects
    assert (reject["item_id"], reject["stage"]) == ("grey.png", "encode")
    assert "zeros" in reject["error"]
    assert job.query(job.query_file({"grey.png": grey})).code == 3
    assert job.failures[0]["query_id"] == "grey.png"


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
        failed.append(self.shard.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardWork, "finish", full)
    done = job.run("embed")
    assert (done.code, done.sentence) == (2, f"{failed[0]}: No space left on device")
    assert len(failed) == 1
    assert not [path for path in job.store.rglob("embeddings/*/*") if path.is_file()]
