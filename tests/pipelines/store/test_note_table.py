"""Whatever a note says, it comes back from a table as it went in, and a usual one takes little room there."""

import errno
import hashlib
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.store.note_table import SCHEMA, NoteTable, read_note_table
from lookalike.store.notes import base_path, rejects_beside, rejects_of
from tests.support.small_stores import a_note

NAMES = st.text(st.characters(codec="utf-8"), max_size=30)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
COUNT = st.one_of(st.integers(0, 2**31), st.integers(-1, 2**40))
SECONDS = st.one_of(st.floats(0, 1e6), st.floats(0, 1e6).map(lambda s: round(s, 4)), st.integers(0, 9))


@st.composite
def notes(draw):
    shard, encoder, digest, options = draw(NAMES), draw(st.one_of(HEX, NAMES)), draw(HEX), draw(HEX)
    base = base_path(shard, digest, encoder, options)
    if draw(st.integers(0, 9)) == 0:
        base = draw(NAMES)
    return a_note(
        shard=shard,
        encoder=encoder,
        digest=draw(st.one_of(st.just(digest), NAMES)),
        options=options,
        path=f"{base}.parquet",
        rejects_path=draw(st.sampled_from([rejects_of, rejects_beside, str]))(f"{base}.parquet"),
        sha256=draw(HEX),
        rejects_sha256=draw(st.one_of(HEX, HEX.map(str.upper))),
        token=draw(st.one_of(HEX.map(lambda text: text[:32]), NAMES)),
        read=draw(COUNT),
        reused=draw(COUNT),
        reasons=draw(st.dictionaries(NAMES, st.integers(0, 2**70), max_size=3)),
        damaged=draw(st.one_of(st.none(), NAMES)),
        bytes=draw(st.one_of(st.integers(0, 2**60), st.integers(0, 2**70))),
        seconds=draw(
            st.one_of(
                st.fixed_dictionaries(dict.fromkeys(("read", "decode", "network", "write"), SECONDS)),
                st.dictionaries(NAMES, SECONDS, max_size=2),
            )
        ),
    )


@given(st.lists(notes(), max_size=12), st.data())
def test_notes_come_back_as_they_were(given_notes, data):
    table = NoteTable.of(iter(given_notes))
    assert list(table) == given_notes
    file = io.BytesIO()
    table.write(file)
    again, _ = read_note_table(file, "x")
    assert list(again) == given_notes
    assert len(again) == len(given_notes)
    if given_notes:
        place = data.draw(st.integers(-len(given_notes), len(given_notes) - 1))
        assert again[place] == given_notes[place]
        assert list(again[place:]) == given_notes[place:]


def usual(number: int):
    digest = f"{number:064x}"
    base = base_path(f"train/shard-{number:08}.tar", digest, "e" * 64, "a" * 64)
    paths = {"path": f"{base}.parquet", "rejects_path": f"{base}.rejects.parquet"}
    of = {"shard": f"train/shard-{number:08}.tar", "token": digest[:32], "digest": digest, **paths}
    return a_note(**of, encoder="e" * 64, options="a" * 64, reasons={})


def test_a_usual_note_takes_about_200_bytes():
    table = NoteTable.of(usual(number) for number in range(10_000))
    assert table.table["whole"].null_count == 10_000
    assert table.table.nbytes / 10_000 < 260


def rewritten(table: pa.Table, version: bytes = b"2") -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"lookalike.notes": version}), file)
    return file


def test_in_tables_of_the_first_format_rejects_lie_beside():
    given_notes = [usual(number) for number in range(3)]
    table = NoteTable.of(given_notes).table
    assert table["rejects_beside"].to_pylist() == [True] * 3
    before = rewritten(table.drop_columns(["rejects_beside"]), b"1")
    assert list(read_note_table(before, "x")[0]) == given_notes


def test_what_is_no_table_of_notes_is_told():
    table = NoteTable.of(map(usual, range(3))).table
    at = SCHEMA.get_field_index
    for wrong in (
        table.drop_columns(["token"]),
        table.set_column(at("shard"), "shard", pa.array([[1]] * 3)),
        table.set_column(at("sha256"), "sha256", pa.nulls(3, pa.binary(32))),
        table.set_column(at("whole"), "whole", pa.array(["{}"] * 3)),
        table.set_column(at("reasons"), "reasons", pa.array(['{"a": "b"}'] * 3)),
        table.set_column(at("reasons"), "reasons", pa.array(["[" * 100_000] * 3)),
    ):
        with pytest.raises(LookalikeError, match="x is damaged: "):
            read_note_table(rewritten(wrong), "x")
    with pytest.raises(LookalikeError, match="x is damaged: "):
        read_note_table(io.BytesIO(b"PAR1"), "x")


def test_a_table_of_another_version_is_not_read():
    table = NoteTable.of(map(usual, range(3))).table
    assert len(read_note_table(rewritten(table), "x")[0]) == 3
    with pytest.raises(LookalikeError, match="x holds no notes, or those of another version"):
        read_note_table(rewritten(table, b"3"), "x")


def test_a_table_is_made_of_a_table_as_it_is():
    table = NoteTable.of([replace(usual(1), damaged="half")])
    assert NoteTable.of(table) is table


@pytest.mark.parametrize(
    "other",
    [
        {"path": "embeddings/e/x.parquet"},
        {"rejects_path": "embeddings/e/rejects/x.parquet"},
        {"token": "t"},
        {"digest": "0" * 63 + "G"},
        {"sha256": "A" * 64},
        {"read": 2**31},
        {"embedded": -1},
        {"bytes": 2**63},
        {"reasons": {"decode": 1}},
        {"damaged": "cut short"},
        {"seconds": {"read": 0.12345, "decode": 1.0, "network": 2.0, "write": 0.25}},
        {"seconds": {"read": 0.5}},
    ],
    ids=str,
)
def test_a_note_that_is_unlike_others_in_one_thing_comes_back_as_it_was(other):
    note = replace(usual(1), **other)
    file = io.BytesIO()
    NoteTable.of([usual(0), note]).write(file)
    assert list(read_note_table(file, "x")[0]) == [usual(0), note]


def test_a_byte_that_changed_in_a_digest_is_told_and_not_believed():
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(50)]
    file = io.BytesIO()
    NoteTable.of([replace(usual(number), sha256=digest) for number, digest in enumerate(digests)]).write(file)
    content = file.getvalue()
    at = content.index(
        bytes.fromhex(sorted(digests)[25])
    )  # neither the least nor the greatest, which stand twice
    with pytest.raises(LookalikeError, match="damaged"):
        read_note_table(io.BytesIO(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]), "x")


def test_of_notes_that_were_taken_others_may_be_taken():
    some = NoteTable.of(map(usual, range(4))).take(np.array([3, 1, 0]))
    assert list(some.take(np.array([2, 1]))) == [usual(0), usual(1)]
    assert list(some[1:]) == [usual(1), usual(0)]


def test_a_disk_that_fails_is_not_taken_for_a_damaged_table():
    class Failing(io.BytesIO):
        def read(self, *_):
            raise OSError(errno.EIO, "the disk")

    file = Failing()
    NoteTable.of([usual(1)]).write(file)
    with pytest.raises(OSError, match="the disk"):
        read_note_table(file, "x")
