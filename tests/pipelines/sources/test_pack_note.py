"""The note that says which files are packing's own."""

from __future__ import annotations

import json

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.sources.pack_note import NOTE, read_note, write_note

NAMES = {"shard-000000000000.tfrecord", "shard-0123456789abcd.tar"}


def test_a_note_is_read_as_it_was_written(tmp_path):
    write_note(str(tmp_path), NAMES)
    assert read_note(str(tmp_path)) == NAMES


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        json.dumps({"format": 2, "shards": sorted(NAMES)}),
        json.dumps({"format": 1, "shards": ["../shard-000000000000.tar"]}),
        json.dumps({"format": 1, "shards": ["shard-000000000000.tar/x"]}),
        json.dumps({"format": 1, "shards": ["notes.txt"]}),
        json.dumps({"format": 1, "shards": [1]}),
    ],
)
def test_what_is_no_note_of_this_format_is_refused(tmp_path, content):
    (tmp_path / NOTE).write_text(content)
    with pytest.raises(LookalikeError, match=f"remove the folder {tmp_path} or name another"):
        read_note(str(tmp_path))
