"""Small corpora: shards of chosen records, and what a note counts of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookalike.sources.tfrecord import Example, frame
from tests.conftest import Job

FORMATS = ("tfrecord", "webdataset", "parquet", "folder")
COUNTS = ("read", "embedded", "reused", "rejected", "duplicates")


def corpus(job: Job, pictures: Mapping[str, bytes], format: str) -> None:
    """The pictures as a corpus of that format, in several shards."""
    if format != "folder":
        job.pack(pictures, format)
        return
    for name, content in pictures.items():
        (job.shards / name[:2]).mkdir(parents=True, exist_ok=True)
        (job.shards / name[:2] / name).write_bytes(content)
    job.set(corpus={"images_per_shard": 8, "metadata": {"directory": "string"}})


def counts(note: Mapping[str, Any]) -> tuple[int, ...]:
    """What a note counts, in the order of `COUNTS`."""
    return tuple(note[name] for name in COUNTS)


def one_shard(job: Job, content: bytes, name: str) -> Path:
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


def pack_again(job: Job, pictures: Mapping[str, bytes]):
    """Packs anew; shards whose bytes are the same keep their time of change."""
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in job.shards.iterdir()}
    job.pack(pictures)
    for path, (content, modified) in before.items():
        if path.read_bytes() == content:
            os.utime(path, ns=(modified, modified))
