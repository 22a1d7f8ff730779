"""A shard as a first pass noted it, against the shard as it is read."""

import io
from pathlib import Path

import numpy as np
import pytest

from lookalike.embedding import recorded
from lookalike.embedding.known import record_of
from lookalike.embedding.outcomes import run_file
from lookalike.embedding.reading import Entry, ShardReading
from lookalike.embedding.recorded import RecordedReading, all_known, record
from lookalike.sources import SourceOptions, find_shards
from lookalike.sources.records import Reject
from tests.support.shards import corpus

OPTIONS = SourceOptions(metadata={"title": "string", "number": "int64", "position": "float64"})


def noted(shard, path: Path) -> ShardReading:
    reading = ShardReading(shard, OPTIONS)
    buffer = io.BytesIO()
    entries = list(record(reading, OPTIONS.metadata, buffer))
    assert all(isinstance(entry, Entry) and entry.image for entry in entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return reading


@pytest.mark.parametrize("format", ["tfrecord", "webdataset", "parquet", "folder"])
def test_what_was_noted_comes_back_without_its_images(job, pictures, format, tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "_ROWS", 7)
    corpus(job, pictures, format)
    for number, shard in enumerate(find_shards(str(job.shards), OPTIONS)):
        reading = noted(shard, path := tmp_path / str(number))
        back = RecordedReading(str(path))
        again = [entry._replace(image=b"") for entry in ShardReading(shard, OPTIONS)]
        assert list(back) == again
        assert (back.digest, back.damaged) == (reading.digest, None)


def test_rejects_and_damage_come_back_behind_the_records(job, pictures, tmp_path):
    (name,) = job.pack({**pictures, "p05.jpg": pictures["p04.jpg"]}, per_shard=100)
    content = bytearray(Path(name).read_bytes())
    Path(name).write_bytes(content[:-20])
    (shard,) = find_shards(name, OPTIONS)
    reading = noted(shard, tmp_path / "noted")
    back = list(RecordedReading(str(tmp_path / "noted")))
    read = list(ShardReading(shard, OPTIONS))
    assert [entry for entry in back if isinstance(entry, Reject)] == [
        entry for entry in read if isinstance(entry, Reject)
    ]
    assert reading.damaged
    assert RecordedReading(str(tmp_path / "noted")).damaged == reading.damaged
    assert len(back) == len(read) == 24


def test_a_shard_is_known_if_each_of_its_images_is_at_its_place(job, pictures, tmp_path):
    job.pack(pictures, per_shard=100)
    (shard,) = find_shards(str(job.shards), OPTIONS)
    run = str(tmp_path / "run")
    assert not all_known(run, shard, 4)
    noted(shard, Path(run_file(run, "contents", shard)))
    assert not all_known(run, shard, 4)
    entries = list(ShardReading(shard, OPTIONS))
    rows = np.zeros(len(entries), record_of(4))
    rows["position"] = [entry.position for entry in entries]
    rows["content"] = [entry.content_hash for entry in entries]
    path = Path(run_file(run, "known", shard))
    path.parent.mkdir()
    for known, all_of_it in ((rows, True), (rows[:-1], False), (rows[1:], False), (rows[::-1], False)):
        path.write_bytes(known.tobytes())
        assert all_known(run, shard, 4) == all_of_it
    rows["content"][3] = rows["content"][4]
    path.write_bytes(rows.tobytes())
    assert not all_known(run, shard, 4)
