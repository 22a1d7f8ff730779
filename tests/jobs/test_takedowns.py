"""What is taken down stays down, whatever else comes or goes and however the catalogue is packed."""

from __future__ import annotations

import shutil

import pytest

from lookalike.sources.pack import pack
from tests.conftest import Job, picture, run


def published_as(job: Job, format: str) -> list[str]:
    """A night over the folder `photos`, packed in a format or as it is; the ids that a query finds."""
    photos = job.folder / "photos"
    shutil.rmtree(job.shards, ignore_errors=True)
    if format == "folder":
        shutil.copytree(photos, job.shards)
    else:
        pack(str(photos), str(job.shards), format=format)
    job.nightly()
    asked = job.vectors_file(job.embeddings["embedding"].to_pylist()[:1])
    assert job.query(asked, "-k", "20").code == 0
    return sorted(job.results["item_id"].to_pylist())


@pytest.mark.slow
def test_a_takedown_holds_after_any_file_came_and_in_every_format(job):
    photos = job.folder / "photos"
    photos.mkdir()
    for seed, name in enumerate(["17.png", "18.jpg", "a.b.jpg"]):
        (photos / name).write_bytes(picture(seed))
    assert published_as(job, "webdataset") == ["17.png", "18.jpg", "a.b.jpg"]
    assert exclude(job, "17.png") == 0
    for seed, (name, format) in enumerate(
        [("17.jpg", "webdataset"), ("17_2.jpg", "parquet"), ("17.gif.jpg", "tfrecord"), ("A.jpg", "folder")]
    ):
        (photos / name).write_bytes(picture(10 + seed))
        listed = sorted(path.name for path in photos.iterdir())
        assert published_as(job, format) == [name for name in listed if name != "17.png"]
    # It is in no index any more, but known.
    run("generations", "prune", "--keep", "1", "--config", job.config)
    assert exclude(job, "17.png") == 0
    assert exclude(job, "17.PNG") == 4


def exclude(job: Job, item_id: str) -> int:
    """The exit code of taking an id down."""
    return run("exclude", "add", item_id, "--config", job.config).code
