"""What becomes of every record of a shard: a row, a reject or a duplicate; and of shards that are damaged."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.embedding.known import Embedding
from lookalike.embedding.reading import Entry
from lookalike.embedding.shard_work import MOST_ROWS, Batch
from tests.conftest import picture
from tests.support.shards import FORMATS, corpus, counts, one_shard, tfrecord


@pytest.mark.parametrize("format", FORMATS[:3])
def test_rows_keep_the_order_of_the_shard_and_carry_its_metadata(job, pictures, format):
    job.pack(pictures, format)
    assert job.run("embed").code == 0
    table = job.embeddings
    assert table["item_id"].to_pylist() == sorted(pictures)
    assert table["number"].to_pylist() == list(range(24))
    assert table["title"].to_pylist() == [f"tïtle, {name}" for name in sorted(pictures)]


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
    "text named .jpg": (b"this is no picture at all\n" * 9, "text"),
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
    assert f"DAMAGED      {path.name}: " in done.out
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
    with tarfile.open(shard) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive.getmembers()]
    gone = sorted(member.name for member, _ in members if member.name.endswith(".jpg"))[1]
    with tarfile.open(shard, "w") as archive:
        for member, content in members:
            if member.name != gone:
                archive.addfile(member, io.BytesIO(content))
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


def test_a_batch_of_known_records_is_full_before_a_shard_of_them_is_in_memory():
    batch, known = Batch(), Embedding(np.zeros(2, np.float32), [1, 1])
    for number in range(MOST_ROWS):
        assert not batch.is_full
        batch.add(Entry(str(number), number, "", [], b""), known)
    assert batch.is_full
