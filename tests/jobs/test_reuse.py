"""What happens to a corpus between two nights, and how many images meet the encoder then: exactly the new ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lookalike.embedding.shard_work import ShardWork
from lookalike.model.encoder.bundle import Encoder
from lookalike.sources.pack import pack
from lookalike.store.verify import verify
from tests.conftest import Job, picture
from tests.support.shards import corpus

NEW = 900
"""Seed of a picture that no first night has."""


class Nights:
    """A published store whose corpus is written by `pack`, and what met the encoder since."""

    def __init__(self, job: Job, pictures: dict[str, bytes], met: list[int]) -> None:
        self.job, self.pictures, self.met = job, pictures, met

    @property
    def shards(self) -> list[Path]:
        return sorted(path for path in self.job.shards.rglob("*") if path.is_file())

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.job.store / "reports" / "latest.json").read_text())

    def night(self, *options: str) -> int:
        """Runs; gives how many images were embedded. Everything adds up, and everything is whole."""
        self.met.clear()
        self.job.nightly(*options)
        records = self.report["records"]
        assert records["read"] == sum(records[n] for n in ("embedded", "reused", "rejected", "duplicates"))
        # What is too large is refused by the encoder, from its header.
        assert 0 <= sum(self.met) - records["embedded"] <= records["rejected"]
        assert verify(str(self.job.store)) == []
        assert list(self.job.store.glob("runs/*")) == []
        return int(records["embedded"])


@pytest.fixture
def nights(job, pictures, monkeypatch) -> Nights:
    met, encode = [], Encoder.encode_batch
    monkeypatch.setattr(
        Encoder,
        "encode_batch",
        lambda self, images, **options: (met.append(len(images)), encode(self, images, **options))[1],
    )
    job.pack(pictures)
    # Items may come and go.
    job.set(gates={"max_shrink_fraction": 1.0})
    made = Nights(job, pictures, met)
    assert made.night() == 24
    return made


def rename(nights: Nights) -> None:
    for path in nights.shards:
        path.rename(path.with_name(f"x-{path.name}"))


def rename_one(nights: Nights) -> None:
    nights.shards[1].rename(nights.job.shards / "zz.tfrecord")


def copy_one(nights: Nights) -> None:
    shutil.copy(nights.shards[0], nights.job.shards / "zz-copy.tfrecord")


def touch(nights: Nights) -> None:
    for path in nights.shards:
        os.utime(path, (1, 1))


def repacked(format: str, per_shard: int = 8) -> Callable[[Nights], None]:
    def change(nights: Nights) -> None:
        if format == "folder":
            shutil.rmtree(nights.job.shards)
            corpus(nights.job, nights.pictures, "folder")
            nights.job.set(corpus={"item_id": "key"})
        else:
            nights.job.pack(nights.pictures, format, per_shard)

    return change


def move_one_image(nights: Nights) -> None:
    """Its name puts it into another shard, and moves all between the two."""
    moved = {name.replace("p02", "p22x"): image for name, image in nights.pictures.items()}
    nights.job.pack(moved)


def rename_ids(nights: Nights) -> None:
    nights.job.pack({f"other-{name}": image for name, image in nights.pictures.items()})


def add_one(nights: Nights) -> None:
    nights.job.pack({"a-new.jpg": picture(NEW), **nights.pictures})


def replace_two(nights: Nights) -> None:
    nights.job.pack({**nights.pictures, "p02.jpg": picture(NEW), "p09.jpg": picture(NEW + 1)})


def move_corpus(nights: Nights) -> None:
    moved = nights.job.folder / "moved"
    nights.job.shards.rename(moved)
    nights.job.shards = moved
    nights.job.set(corpus={"shards": str(moved)})


def relative(path: str) -> Callable[[Nights], None]:
    def change(nights: Nights) -> None:
        os.chdir(nights.job.folder)
        nights.job.set(corpus={"shards": path})

    return change


def options(**changes: Any) -> Callable[[Nights], None]:
    return lambda nights: nights.job.set(corpus=changes) and None


def prune(nights: Nights) -> None:
    """Nothing but the newest generation is left."""
    replace_two(nights)
    nights.night("--set", "retention.generations=1")
    rename(nights)


EVENTS: dict[str, tuple[Callable[[Nights], None], int]] = {
    "nothing": (lambda nights: None, 0),
    "all shards are renamed": (rename, 0),
    "one shard is renamed": (rename_one, 0),
    "a shard is copied under a second name": (copy_one, 0),
    "all shards are touched": (touch, 0),
    "packed as WebDataset": (repacked("webdataset"), 0),
    "packed as Parquet": (repacked("parquet"), 0),
    "written as a folder": (repacked("folder"), 0),
    "packed in shards of another size": (repacked("tfrecord", 5), 0),
    "an image is moved to another shard": (move_one_image, 0),
    "all ids are others": (rename_ids, 0),
    "an image is added in front of all others": (add_one, 1),
    "two images are replaced": (replace_two, 2),
    "the corpus is moved": (move_corpus, 0),
    "the corpus is named by a relative path": (relative("shards"), 0),
    "the corpus is named with ./": (relative("./shards"), 0),
    "the corpus is named with a slash behind it": (relative("shards/"), 0),
    "the limit of pixels is raised": (options(max_pixels=10**9), 0),
    "the limit of pixels is lowered, above all images": (options(max_pixels=48 * 40), 0),
    "the limit of bytes is raised": (options(max_bytes=10**9), 0),
    "there is no metadata": (options(metadata={}), 0),
    "there is other metadata": (options(metadata={"number": "float64"}), 0),
    "ids are made in another way": (options(item_id="shard/key"), 0),
    "old generations are pruned": (prune, 0),
}


QUICK = ("all shards are renamed", "packed as WebDataset", "two images are replaced", "the corpus is moved")
"""What is tried in any case; the rest is slow together."""


@pytest.mark.parametrize(
    "event", [event if event in QUICK else pytest.param(event, marks=pytest.mark.slow) for event in EVENTS]
)
def test_only_new_images_meet_the_encoder_when(nights, monkeypatch, event):
    monkeypatch.chdir(nights.job.folder)
    change, new = EVENTS[event]
    change(nights)
    assert nights.night() == new
    assert nights.night() == 0


@pytest.mark.parametrize(
    "format",
    ["tfrecord", *(pytest.param(f, marks=pytest.mark.slow) for f in ("webdataset", "parquet")), "folder"],
)
def test_one_image_more_in_a_catalogue_of_300_is_one_image_embedded_and_a_shard_or_two_read(job, format):
    """At 256 a folder used to be cut anew as a whole, and a pack from the new image on."""
    images = job.folder / "images"
    images.mkdir()
    shards = images if format == "folder" else job.folder / "packed"
    job.set(corpus={"shards": str(shards), "images_per_shard": 32})
    read = []
    for number in [*range(256), *range(296, 300)]:
        (images / f"{number * 7919 % 1000:03}.jpg").write_bytes(picture(number))
    for count, new in ((260, 260), (261, 1), (262, 1)):
        (images / f"{count}x.jpg").write_bytes(picture(count))
        if format != "folder":
            pack(str(images), str(shards), format=format, images_per_shard=32)
        job.nightly()
        report = json.loads((job.store / "reports" / "latest.json").read_text())
        assert report["records"]["embedded"] == new + (count == 260)
        read.append(report["shards"]["read"])
    assert read[0] >= 5
    assert max(read[1:]) <= 3


@pytest.mark.slow
def test_a_catalogue_may_wander_through_all_formats(nights):
    for format in ("webdataset", "parquet", "tfrecord"):
        repacked(format)(nights)
        assert nights.night() == 0
    repacked("folder")(nights)
    assert nights.night() == 0


@pytest.mark.slow
def test_a_lowered_limit_rejects_what_is_known_and_a_raised_one_embeds_what_was_rejected(job, nights):
    """It is as if the images were new."""
    large = {"large.jpg": picture(NEW, 60, 50)}
    nights.job.pack({**nights.pictures, **large})
    assert nights.night() == 1
    assert nights.night("--set", "corpus.max_pixels=2999") == 0
    assert (nights.report["records"]["rejected"], nights.report["records"]["items"]) == (1, 24)
    tables = [pq.read_table(job.store / note["rejects_path"]) for note in job.generation["shards"]]
    (reject,) = [row for table in tables for row in table.to_pylist()]
    assert reject["item_id"] == "large.jpg"
    assert "60 x 50 = 3,000 pixels, more than the limit of 2,999" in reject["error"]
    rename(nights)
    assert nights.night("--set", "corpus.max_pixels=3000") == 0, "it is known from the second night"
    assert nights.report["records"]["items"] == 25


def test_the_limit_of_bytes_holds_for_what_is_known_too(nights):
    """A record above it is not read, so it is as if it were not there."""
    most = max(map(len, nights.pictures.values()))
    nights.job.pack({**nights.pictures, "large.jpg": picture(NEW, 300, 200)})
    assert nights.night("--set", f"corpus.max_bytes={most + 1000}") == 0
    assert (nights.report["records"]["rejected"], nights.report["records"]["items"]) == (1, 24)
    assert nights.night() == 1, "it is raised"
    assert nights.night("--set", f"corpus.max_bytes={most + 1000}") == 0
    assert (nights.report["records"]["rejected"], nights.report["records"]["items"]) == (1, 24)
    assert nights.night() == 0, "it is known"
    assert nights.report["records"]["items"] == 25


def test_what_was_always_above_the_limit_is_embedded_when_that_is_raised(nights):
    nights.job.pack({**nights.pictures, "large.jpg": picture(NEW, 60, 50)})
    assert nights.night("--set", "corpus.max_pixels=2999") == 0
    assert nights.night() == 1


@pytest.mark.parametrize("lost", ["damaged", "deleted"])
def test_what_only_a_lost_file_held_is_embedded_anew(nights, lost):
    note = next(iter(nights.job.notes.values()))
    path = nights.job.store / note["path"]
    if lost == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR2"))
    rename(nights)
    nights.met.clear()
    done = nights.job.nightly()
    assert sum(nights.met) == 8
    assert ("is damaged and not used again" in done.err) == (lost == "damaged")


def test_what_two_files_hold_survives_the_loss_of_one(nights):
    rename(nights)
    assert nights.night() == 0
    for note in list(nights.job.notes.values()):
        if os.path.basename(note["shard"]).startswith("x-"):
            (nights.job.store / note["path"]).unlink()
    repacked("webdataset")(nights)
    nights.met.clear()
    nights.job.nightly()
    assert sum(nights.met) == 0


def test_what_a_stopped_run_had_finished_is_known_under_any_name(nights, monkeypatch):
    nights.job.pack({f"n{i:02}.jpg": picture(NEW + i) for i in range(24)})
    finish, finished = ShardWork.finish, []

    def stopping(self: ShardWork):
        if len(finished) == 2:
            raise KeyboardInterrupt
        finished.append(self)
        return finish(self)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWork, "finish", stopping)
        assert nights.job.run("nightly").code == 130
    rename(nights)
    assert nights.night() == 8


def test_vectors_that_are_used_again_are_those_that_a_fresh_store_would_have(nights):
    add_one(nights)
    repacked("webdataset", 7)(nights)
    nights.night()
    ours = {path.name: path.read_bytes() for path in nights.job.store.glob("embeddings/*/*.parquet")}
    nights.job.set(store=str(nights.job.folder / "fresh"))
    nights.job.nightly()
    fresh = {p.name: p.read_bytes() for p in (nights.job.folder / "fresh").glob("embeddings/*/*.parquet")}
    assert fresh.items() <= ours.items()


def test_on_a_first_night_nothing_is_read_twice(job, pictures, monkeypatch):
    job.pack(pictures)
    monkeypatch.setattr("lookalike.embedding.job._look_up", lambda *_: pytest.fail("it was looked up"))
    job.nightly()
