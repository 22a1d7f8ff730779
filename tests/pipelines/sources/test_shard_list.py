"""A list in a file is the list that it was made of."""

import contextlib
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.filesystem.files import FileInfo
from lookalike.sources import Shard
from lookalike.sources.shard_list import ShardList

# As Python has the names of files: what is no UTF-8 comes as lone surrogates.
NAMES = st.binary(max_size=9).map(lambda name: name.decode("utf-8", "surrogateescape"))
INFOS = st.builds(FileInfo, NAMES, st.integers(0, 2**62), st.integers(0).map(str), NAMES)
SHARDS = st.builds(
    Shard, NAMES, st.sampled_from(["folder", "tfrecord"]), st.lists(INFOS, max_size=3).map(tuple), NAMES
)


@given(st.lists(SHARDS, max_size=6), st.data())
def test_what_is_asked_for_is_what_was_given(shards, data):
    listed = ShardList.of(iter(shards))
    assert list(listed) == shards
    assert len(listed) == len(shards)
    places = data.draw(st.lists(st.integers(0, len(shards) - 1), max_size=6)) if shards else []
    taken = listed.take(np.array(places, np.int64))
    assert list(taken) == [shards[place] for place in places]
    assert [taken[n] for n in range(-len(places), len(places))] == [shards[place] for place in places] * 2
    assert list(taken[1:]) == [shards[place] for place in places[1:]]
    assert bool(listed) == bool(shards)


def test_a_full_disk_is_told_with_the_folder_of_temporary_files(monkeypatch, tmp_path):
    full = open("/dev/full", "wb")  # noqa: SIM115
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="No space left") as raised:
        ShardList.of([Shard("a", "folder", (), "a")])
    assert raised.value.filename == str(tmp_path)
    with contextlib.suppress(OSError):
        full.close()
