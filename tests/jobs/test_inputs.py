"""Corpora and queries as other people's disks hold them, through whole jobs: all that is listed ends in one place."""

import gzip
import io
import json
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from tests.support.memory import measured

pytestmark = pytest.mark.slow


def rejects(job) -> dict[str, str]:
    """Id -> error, of all shards that are served."""
    tables = [pq.read_table(job.store / note["rejects_path"]) for note in job.generation["shards"]]
    return {
        row["item_id"] or f"#{row['position']}": row["error"] for table in tables for row in table.to_pylist()
    }


def items(job) -> set[str]:
    """The ids that are served."""
    notes = job.generation["shards"]
    return {i for note in notes for i in pq.read_table(job.store / note["path"])["item_id"].to_pylist()}


def night(job) -> tuple[dict[str, int], int]:
    """The records of a night that must publish, and by how many bytes this process grew."""
    job.set(gates={"max_reject_fraction": 0.9})
    _, grown = measured(job.nightly)
    records = json.loads((job.store / "reports" / "latest.json").read_text())["records"]
    counted = sum(records[name] for name in ("embedded", "reused", "rejected", "duplicates"))
    assert records["read"] == counted
    return records, grown


def test_a_folder_in_which_nothing_is_as_it_should_be(job):
    images = job.folder / "photographs"
    (images / "more").mkdir(parents=True)
    good = ["a.jpg", "b.jfif", "c", "more/d.txt", "e.jpg.tmp-1", "more/f.foo"]
    for number, name in enumerate(good):
        (images / name).write_bytes(picture(number))
    (images / "notes.txt").write_text("text")
    (images / "more" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (images / "drawing.svg").write_text("<svg/>")
    (images / "gone.jpg").symlink_to("nowhere")
    (images / "secret.jpg").symlink_to("/etc/hostname")
    (images / "up").symlink_to(".")
    (images / "again.jpg").symlink_to("a.jpg")
    os.mkfifo(images / "pipe.jpg")
    with open(images / "sparse.jpg", "wb") as file:
        file.truncate(3 << 30)
    job.set(corpus={"shards": str(images)})
    records, grown = night(job)
    assert items(job) == {*good, "again.jpg"}
    assert {name: error.split(",")[0] for name, error in rejects(job).items() if name != "drawing.svg"} == {
        "gone.jpg": "'gone.jpg' is a link to nowhere",
        "secret.jpg": "'secret.jpg' is a link out of the corpus folder",
        "up": "'up' is a link to a folder that it lies in",
        "pipe.jpg": "'pipe.jpg' is a named pipe",
        "sparse.jpg": "3",
    }
    assert (records["read"], records["rejected"]) == (13, 6)
    assert grown < 2 << 30
    asked = job.query(images)
    assert asked.code == 0, asked
    failures = pq.read_table(job.folder / "out" / "failures.parquet")["query_id"].to_pylist()
    assert sorted(failures) == sorted(rejects(job))
    assert set(job.results["query_id"].to_pylist()) == items(job)
    job.set(corpus={"follow_links": True})
    night(job)
    assert "a link" not in rejects(job)["secret.jpg"]


def test_shards_with_a_record_that_would_take_the_machines_memory(job):
    job.shards.mkdir()
    with gzip.open(job.shards / "a.tar.gz", "wb", 1) as file:
        for number, (name, size) in enumerate([("x.jpg", 0), ("y.jpg", 600 << 20), ("z.jpg", 0)]):
            content = picture(number)
            info = tarfile.TarInfo(name)
            info.size = size or len(content)
            file.write(info.tobuf())
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
            if not size:
                file.write(content + bytes(-len(content) % 512))
        file.write(bytes(1024))
    job.set(corpus={"shards": str(job.shards)})
    records, grown = night(job)
    assert (items(job), records["rejected"]) == ({"x", "z"}, 1)
    assert rejects(job) == {"y": "629,145,600 bytes, more than corpus.max_bytes allows: 268,435,456"}
    assert grown < 2 << 30


def test_several_images_to_a_key_and_images_without_an_id(job):
    job.shards.mkdir()
    with tarfile.open(job.shards / "a.tar", "w") as archive:
        names = ["0.jpg", "0.seg.png", "1.left.jpg", "1.right.jpg", "3.14159.jpg", "3.2.jpg", "4.jpg"]
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = len(picture(number))
            archive.addfile(info, io.BytesIO(picture(number)))
    job.set(corpus={"shards": str(job.shards)})
    records, _ = night(job)
    assert items(job) == {"0", "4"}
    assert set(rejects(job)) == set(names) - {"0.jpg", "4.jpg"}
    assert (records["read"], records["rejected"], records["duplicates"]) == (7, 4, 1)
    os.unlink(job.shards / "a.tar")
    images = [{"bytes": picture(number), "path": None} for number in range(4)]
    pq.write_table(pa.table({"image": images}), job.shards / "train-00000-of-00001.parquet")
    job.set(corpus={"item_id": "position"}, gates={"max_shrink_fraction": 1})
    night(job)
    assert items(job) == {f"train-00000-of-00001/{number}" for number in range(4)}
