"""PTransforms on the direct runner: what the jobs make of the same shards, images and vectors."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import FixedWindows, TimestampedValue

import lookalike
import lookalike.beam
from lookalike.model.errors import LookalikeError


@contextmanager
def pipeline():
    with beam.Pipeline(runner=FnApiRunner()) as opened:
        yield opened


def expect(collection, wanted, label):
    """Fails the pipeline unless a collection holds these, in any order; vectors are compared as lists."""

    def check(found):
        plain = [(key, value.tolist() if isinstance(value, np.ndarray) else value) for key, value in found]
        assert sorted(plain, key=str) == sorted(wanted, key=str), plain

    assert_that(collection, check, label=label)


def test_shards_become_the_vectors_of_the_job(published):
    table = published.embeddings
    wanted = list(zip(table["item_id"].to_pylist(), table["embedding"].to_pylist(), strict=True))
    with pipeline() as opened:
        images, unread = opened | lookalike.beam.ReadImages(published.shards)
        vectors, undecoded = images | lookalike.beam.Embed(published.settings["encoder"])
        expect(vectors, wanted, "vectors")
        expect(unread, [], "unread")
        expect(undecoded, [], "undecoded")


@pytest.mark.slow
def test_what_cannot_be_read_or_decoded_is_rejected(job, pictures):
    images = {
        "good.jpg": pictures["p00.jpg"],
        "broken.jpg": b"\xff\xd8\xff no more",
        "one.jpg": pictures["p01.jpg"],
    }
    (shard,) = job.pack(images)
    Path(shard).write_bytes(Path(shard).read_bytes()[:-5])
    with pipeline() as opened:
        read, unread = opened | lookalike.beam.ReadImages(str(job.shards))
        vectors, undecoded = read | lookalike.beam.Embed(job.settings["encoder"])
        expect(vectors | "Ids" >> beam.Map(lambda one: (one[0], None)), [("good.jpg", None)], "vectors")
        names = undecoded | "Undecoded" >> beam.Map(lambda one: (one[0], one[1].partition(" ")[0]))
        expect(names, [("broken.jpg", "JPEG")], "undecoded")
        counted = unread | "Unread" >> beam.Map(lambda one: (one[0].rpartition("#")[2], None))
        expect(counted, [("2", None)], "unread")


@pytest.mark.slow
def test_ids_may_come_twice_and_windows_stay(encoder, pictures):
    picture = pictures["p00.jpg"]
    with pipeline() as opened:
        images = opened | beam.Create([(n, picture) for n in (1, 1, 70)])
        windows = (
            images | beam.Map(lambda one: TimestampedValue(one, one[0])) | beam.WindowInto(FixedWindows(60))
        )
        vectors, _ = windows | lookalike.beam.Embed(encoder)
        counted = vectors | beam.Map(lambda one: ("vectors", len(one[1]))) | beam.combiners.Count.PerElement()
        expect(counted, [(("vectors", 16), 2), (("vectors", 16), 1)], "counted")


@pytest.mark.slow
def test_matches_are_those_of_a_search(published):
    with lookalike.open_store(published.config) as store:
        table = store.vectors().read_all().slice(0, 3)
        vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
        found = store.search(vectors=vectors, k=4, where="number > 2").to_pylist()
    keys = [("a", 1), ("b", 2), ("a", 1)]  # of any kind, also twice
    wanted = [(keys[n], [row for row in found if row["query_id"] == str(n)]) for n in range(3)]
    for _, rows in wanted:
        for row in rows:
            del row["query_id"]
    with pipeline() as opened:
        asked = opened | beam.Create([*zip(keys, vectors, strict=True), (("no", 0), vectors[0] * 0)])
        matches, rejects = asked | lookalike.beam.Search(published.config, k=4, where="number > 2")
        expect(matches, wanted, "matches")
        expect(rejects, [(("no", 0), "a vector of zeros has no direction")], "rejects")


@pytest.mark.slow
def test_nothing_found_is_a_reject_with_its_reason(published):
    with pipeline() as opened:
        asked = opened | beam.Create([("a", np.ones(16, np.float32))])
        _, rejects = asked | lookalike.beam.Search(published.settings, where="number > 99")
        expect(rejects, [("a", "no item meets the conditions")], "rejects")


def test_dask_is_refused_as_it_would_lose_the_last_batch(encoder):
    from apache_beam.runners.dask.dask_runner import DaskRunner

    images = beam.Pipeline(runner=DaskRunner()) | beam.Create([("a", b"")])
    with pytest.raises(LookalikeError, match=r"Received: DaskRunner, which loses it"):
        _ = images | lookalike.beam.Embed(encoder)


def test_a_worker_that_sees_another_encoder_is_refused(encoder, other_encoder, tmp_path):
    (tmp_path / "encoder").symlink_to(encoder)
    embed = lookalike.beam.Embed(tmp_path / "encoder")
    (tmp_path / "encoder").unlink()
    (tmp_path / "encoder").symlink_to(other_encoder)
    with pytest.raises(LookalikeError, match=r"as where the pipeline was made. Received: "):
        list(embed._encode.process([("a", b"")]))


def test_what_is_wrong_is_told_before_anything_runs(tmp_path, published):
    with pytest.raises(LookalikeError, match="unknown key `item`; did you mean `item_id`"):
        lookalike.beam.ReadImages("shards", item="key")
    with pytest.raises(LookalikeError, match="Expected an encoder"):
        lookalike.beam.Embed(tmp_path)
    with pytest.raises(LookalikeError, match="Nothing has been published"):
        lookalike.beam.Search({**published.settings, "store": str(tmp_path)})
