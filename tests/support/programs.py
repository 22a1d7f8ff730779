"""A small world in which the examples of docs/python.md and of the docstrings of the public names are run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.conftest import Job

PHOTOS = 5


def make_world(folder: Path, published: Job, pictures: Mapping[str, bytes]) -> None:
    """Fills a folder: `encoder`, `shards`, `store` (published), `job.yaml`, `photos` of which 5 are in the store, and
    `answers` to these."""
    from lookalike.query.job import QueryOptions, query

    shutil.copytree(published.store, folder / "store")
    (folder / "encoder").symlink_to(published.settings["encoder"])
    (folder / "shards").symlink_to(published.shards)
    (folder / "photos").mkdir()
    for name, content in list(pictures.items())[:PHOTOS]:
        (folder / "photos" / name).write_bytes(content)
    job = Job(folder, folder / "encoder").set(corpus=published.settings["corpus"])
    config = job.loaded
    job.config.write_text(
        yaml.safe_dump(
            {
                "corpus": job.settings["corpus"] | {"shards": "shards"},
                "encoder": "encoder",
                "store": "store",
            },
            sort_keys=False,
        )
    )
    query(config, str(folder / "photos"), str(folder / "answers"), QueryOptions(10))
