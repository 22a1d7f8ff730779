"""A small world in which the examples of docs/python.md and of the docstrings of the public names are run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.conftest import SPEC, Job, picture, tiny_network

PHOTOS = 5


def make_world(folder: Path, published: Job, pictures: Mapping[str, bytes]) -> None:
    """Fills a folder.

    `encoder`, `shards`, `store` (published) and `job.yaml`; `photos`, 5 that are in the store, `answers` to them, and
    `judged.txt`, which says what is relevant to two; `tiny.keras`, a network, `labelled`, pictures in folders by their
    class, and `train.yaml`.
    """
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
    (folder / "judged.txt").write_text("p00.jpg 0 p05.jpg 1\np01.jpg 0 p06.jpg 1\n")
    _add_training(folder)


def _add_training(folder: Path) -> None:
    tiny_network().save(folder / "tiny.keras")
    for number in range(24):
        path = folder / "labelled" / f"class{number % 3}" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    settings = {
        "run": "run",
        "corpus": {"shards": "labelled"},
        "network": {"name": "tiny.keras", "layer": "features", "preprocessing": SPEC, "dim": 8},
        "batch_size": 8,
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(settings))
