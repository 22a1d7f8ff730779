"""One pass through a shard: what its digest tells, and what ends it."""

from __future__ import annotations

import hashlib
import os

import pytest

from lookalike.embedding.reading import Entry, ShardReading
from lookalike.sources import SourceOptions, find_shards
from lookalike.sources.opening import NotAsListedError
from lookalike.sources.records import Reject
from tests.support.shards import tfrecord

RECORDS = ((b"a", b"one"), (b"b", b"two"), (b"a", b"three"))


def reading(tmp_path, content: bytes, **options) -> ShardReading:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(content)
    (shard,) = find_shards(str(path), SourceOptions(**options))
    return ShardReading(shard, SourceOptions(**options))


def digest(tmp_path, content: bytes, **options) -> str:
    read = reading(tmp_path, content, **options)
    list(read)
    return read.digest


def test_records_come_with_their_digests_and_an_id_that_comes_again_as_a_reject(tmp_path):
    first, second, third = reading(tmp_path, tfrecord(*RECORDS))
    assert first == Entry("a", 0, hashlib.sha256(b"one").hexdigest(), [], b"one")
    assert (second.item_id, second.position) == ("b", 1)
    assert isinstance(third, Reject)
    assert (third.item_id, third.position, third.stage) == ("a", 2, "duplicate")


def test_an_image_that_is_not_as_it_was_listed_leaves_the_shard_unfinished(tmp_path, monkeypatch):
    """Also where no file is looked at again, as in a remote folder."""
    reject = Reject("a", 0, "read", "other", not_as_listed=True)
    monkeypatch.setattr("lookalike.embedding.reading.read_shard", lambda *_: iter([reject]))
    with pytest.raises(NotAsListedError, match="other"):
        list(reading(tmp_path, tfrecord(*RECORDS)))


def test_the_digest_is_of_what_is_read_and_of_nothing_else(tmp_path):
    usual = digest(tmp_path, tfrecord(*RECORDS))
    assert digest(tmp_path, tfrecord(*RECORDS)) == usual
    others = [
        digest(tmp_path, tfrecord(*RECORDS[:2])),
        digest(tmp_path, tfrecord(*RECORDS[:2], (b"a", b"other"))),
        digest(tmp_path, tfrecord(*RECORDS[:2], (b"c", b"three"))),
        digest(tmp_path, tfrecord(RECORDS[1], RECORDS[0], RECORDS[2])),
        digest(tmp_path, tfrecord(*RECORDS)[:-5]),
        digest(tmp_path, tfrecord(*RECORDS), metadata={"n": "int64"}),
    ]
    assert len({usual, *others}) == 7


def test_a_shard_that_is_cut_says_so(tmp_path):
    read = reading(tmp_path, tfrecord(*RECORDS)[:-5])
    assert [type(entry) for entry in read] == [Entry, Entry, Reject]
    assert "cut in record 2" in read.damaged


def test_a_shard_that_is_replaced_while_it_is_read_is_not_as_listed(tmp_path):
    read = reading(tmp_path, tfrecord(*RECORDS))
    entries = iter(read)
    next(entries)
    os.utime(tmp_path / "x.tfrecord", (1, 1))
    with pytest.raises(NotAsListedError):
        list(entries)


def test_an_image_of_a_folder_that_is_gone_is_no_reject(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    (shard,) = find_shards(str(tmp_path), SourceOptions())
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(NotAsListedError, match=r"a\.jpg on .* is not as it was listed"):
        list(ShardReading(shard, SourceOptions()))
