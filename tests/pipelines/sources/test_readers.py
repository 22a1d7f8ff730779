"""What every reader promises: exact round trips, one item a record, damage told and never raised."""

import dataclasses
import gzip
import io
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.sources import FILE_FORMATS, SourceOptions, find_shards, read_records, read_shard
from lookalike.sources.opening import NotAsListedError
from lookalike.sources.pack import pack
from lookalike.sources.records import Record, Reject
from tests.fuzz_readers import fuzz
from tests.support.places import ROOT

SCHEMA = {"price": "float64", "name": "string", "stock": "int64", "new": "bool"}
IMAGES = {"hat/1.jpg": b"one", "hat/2.png": b"", "shoe/ü.jpg": b"\x00\xff" * 40}
ROWS = {
    "hat/1.jpg": {"price": 1.5, "name": "Hütte", "stock": 3, "new": True},
    "hat/2.png": {"price": None, "name": None, "stock": None, "new": None},
    "shoe/ü.jpg": {"price": -0.25, "name": "b", "stock": -(2**63), "new": False},
}


def options_for(reader: str, **changes) -> SourceOptions:
    return dataclasses.replace(SourceOptions(metadata={} if reader == "folder" else SCHEMA), **changes)


def write(folder: Path, format: str, images=IMAGES, rows=ROWS) -> str:
    """One shard (or a folder) with those images; returns its path."""
    source = folder / "images"
    for name, content in images.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    if format == "folder":
        return str(source)
    table = folder / "rows.jsonl"
    table.write_text("".join(json.dumps({"path": name, **row}) + "\n" for name, row in rows.items()))
    return pack(str(source), str(folder / "out"), format=format, metadata=str(table)).shards[0]


def read(path: str, options: SourceOptions) -> list[Record | Reject]:
    return [item for shard in find_shards(path, options) for item in read_shard(shard, options)]


@pytest.fixture(scope="module", params=FILE_FORMATS)
def shard(request, tmp_path_factory):
    """A good shard file: (format, its bytes, its records)."""
    path = write(tmp_path_factory.mktemp(request.param), request.param)
    return request.param, Path(path).read_bytes(), read(path, options_for(request.param))


def read_damaged(format: str, content: bytes) -> list[Record | Reject]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(content)
        items = read(str(path), options_for(format, format=format))
    assert [item.position for item in items] == list(range(len(items)))
    assert not any(isinstance(item, Reject) and item.ends_shard for item in items[:-1])
    return items


def ends(items: list[Record | Reject]) -> bool:
    return bool(items) and isinstance(items[-1], Reject) and items[-1].ends_shard


def test_rejects_are_handed_over_at_their_place_between_the_records(tmp_path):
    (found,) = find_shards(write(tmp_path, "folder"), SourceOptions())
    Path(found.files[1].path).unlink()
    met: list[str | None] = []
    for record in read_records(found, SourceOptions(), lambda reject: met.append(reject.item_id)):
        met.append(record.item_id)
    assert met == sorted(IMAGES)
    records = list(read_records(found, SourceOptions()))
    assert [record.item_id for record in records] == ["hat/1.jpg", "shoe/ü.jpg"]


@pytest.mark.parametrize("format", [*FILE_FORMATS, "folder"])
def test_a_reader_returns_what_was_written_in_order_numbered_from_zero(tmp_path, format):
    items = read(write(tmp_path, format), options_for(format))
    assert [(r.item_id, r.image, r.position) for r in items] == [
        (name, content, position) for position, (name, content) in enumerate(sorted(IMAGES.items()))
    ]
    if format != "folder":
        assert {r.item_id: r.metadata for r in items} == ROWS


@pytest.mark.parametrize("format", [*FILE_FORMATS, "folder"])
def test_the_shards_name_can_be_part_of_the_id(tmp_path, format):
    path = write(tmp_path, format, {"a.jpg": b"x"})
    stem = "images" if format == "folder" else "shard-000000000000"
    assert [r.item_id for r in read(path, options_for(format, item_id="shard/key"))] == [f"{stem}/a.jpg"]


@pytest.mark.parametrize("format", [*FILE_FORMATS, "folder"])
def test_records_without_an_id_have_the_one_of_their_position(tmp_path, format):
    shard = "#000000000000" if format == "folder" else "shard-000000000000"
    items = read(write(tmp_path, format), options_for(format, item_id="position"))
    assert [item.item_id for item in items] == [f"{shard}/{position}" for position in range(3)]


@pytest.mark.parametrize("format", [*FILE_FORMATS, "folder"])
def test_a_record_above_the_limit_is_one_reject_in_its_place(tmp_path, format):
    images = {"a.jpg": b"1", "b.jpg": bytes(500_000), "c.jpg": b"3"}
    path = write(tmp_path, format, images, dict.fromkeys(images, ROWS["hat/2.png"]))
    first, second, third = read(path, options_for(format, max_bytes=100_000))
    assert (first.image, third.image, third.position) == (b"1", b"3", 2)
    assert isinstance(second, Reject)
    assert (second.position, second.stage) == (1, "read")
    assert re.match(r"500,\d\d\d bytes, more than corpus.max_bytes allows: 100,000", second.error)


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_an_id_may_be_any_field_and_a_record_without_it_is_rejected(tmp_path, format):
    items = read(write(tmp_path, format), options_for(format, item_id="field:stock"))
    assert [getattr(item, "stage", item.item_id) for item in items] == ["3", "id", str(-(2**63))]


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_a_value_that_does_not_fit_rejects_its_record_alone(tmp_path, format):
    items = read(write(tmp_path, format), options_for(format, metadata={"name": "int64"}))
    assert [type(item) for item in items] == [Reject, Record, Reject]
    assert (items[0].stage, items[0].item_id, items[0].ends_shard) == ("metadata", "hat/1.jpg", False)
    assert "'name' does not fit int64. Received:" in items[0].error


@pytest.mark.parametrize("format", [*FILE_FORMATS, "folder"])
def test_shards_and_options_survive_pickling(tmp_path, format):
    options = options_for(format)
    for original in find_shards(write(tmp_path, format), options):
        copy = pickle.loads(pickle.dumps(original))
        assert (copy, copy.token) == (original, original.token)
        assert list(read_shard(copy, pickle.loads(pickle.dumps(options)))) == list(
            read_shard(original, options)
        )


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_shard_cut_anywhere_gives_its_first_records_and_says_so(shard, data):
    format, content, records = shard
    cut = data.draw(st.integers(0, len(content) - 1))
    items = read_damaged(format, content[:cut])
    good = items[:-1] if ends(items) else items
    assert good == records[: len(good)]
    if format == "tfrecord":  # no end mark: a cut between two records leaves a whole file
        assert ends(items) or cut == sum(len(frame) for frame in _frames(content)[: len(good)])
    elif format == "webdataset":  # zeros behind the first block of the end mark say nothing
        assert ends(items) or (good == records and not content[cut:].strip(b"\0"))
    else:
        assert ends(items)


def _frames(content: bytes) -> list[bytes]:
    frames = []
    while content:
        size = int.from_bytes(content[:8], "little") + 16
        frames.append(content[:size])
        content = content[size:]
    return frames


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_never_raises_and_in_tfrecord_never_gives_another_record(shard, data):
    format, content, records = shard
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    items = read_damaged(format, content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    if format == "tfrecord":
        assert all(item in records for item in items if isinstance(item, Record))
        assert any(isinstance(item, Reject) for item in items)


@pytest.mark.parametrize("format", ["tfrecord", "webdataset"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_gzip_shard_cut_anywhere_gives_its_first_records_and_says_so(tmp_path_factory, format, data):
    path = write(tmp_path_factory.mktemp("gz"), format)
    packed = gzip.compress(Path(path).read_bytes(), mtime=0)
    records = read_damaged(format, packed)
    assert len(records) == 3
    assert not ends(records)
    items = read_damaged(format, packed[: data.draw(st.integers(0, len(packed) - 1))])
    assert ends(items)
    assert items[:-1] == records[: len(items) - 1]


@pytest.mark.parametrize("format", FILE_FORMATS)
@given(content=st.binary(max_size=600))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_without_an_exception(format, content):
    read_damaged(format, content)


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_an_empty_file_is_damage_at_the_start(format):
    (item,) = read_damaged(format, b"")
    assert (item.item_id, item.position, item.stage, item.ends_shard) == (None, 0, "read", True)
    assert "0 records could be read" in item.error


@settings(max_examples=25, deadline=None)
@given(
    images=st.dictionaries(
        st.tuples(st.text("ab.", max_size=3), st.text("xyÄ é.", min_size=1, max_size=5)).map(
            lambda parts: f"d{parts[0]}d/i{parts[1]}.jpg"
        ),
        st.binary(max_size=600),
        min_size=1,
        max_size=6,
    ),
    values=st.lists(
        st.fixed_dictionaries(
            {
                "stock": st.integers(-(2**63), 2**63 - 1),
                "name": st.text(st.characters(codec="utf-8"), max_size=5),
                "price": st.none() | st.floats(width=32, allow_nan=False),
                "new": st.booleans(),
            }
        ),
        min_size=6,
        max_size=6,
    ),
)
@pytest.mark.parametrize("format", FILE_FORMATS)
def test_any_ids_bytes_and_metadata_come_back_as_they_were_packed(format, images, values):
    rows = dict(zip(sorted(images), values, strict=False))
    with tempfile.TemporaryDirectory() as folder:
        items = read(write(Path(folder), format, images, rows), options_for(format))
    assert {r.item_id: r.image for r in items} == images
    assert {r.item_id: r.metadata for r in items} == rows


class _FailingFile(io.FileIO):
    """A file on a network that goes away after some bytes."""

    def read(self, size=-1):
        if size is None or size < 0 or self.tell() + size > 64:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_failing_file_system_is_an_oserror_and_not_a_reject(monkeypatch, tmp_path, shard, compressed):
    format, content, _ = shard
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(content) if compressed and format != "parquet" else content)
    options = options_for(format, format=format)
    (found,) = find_shards(str(path), options)
    monkeypatch.setattr(files, "open_read", _FailingFile)
    with pytest.raises(OSError, match="Input/output error"):
        list(read_shard(found, options))


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_a_shard_that_is_gone_or_another_is_not_as_listed(tmp_path, format):
    path = Path(write(tmp_path, format))
    (found,) = find_shards(str(path), options_for(format))
    os.utime(path, (1, 1))
    with pytest.raises(NotAsListedError, match="changed 1970-01-01"):
        list(read_shard(found, options_for(format)))
    path.unlink()
    with pytest.raises(NotAsListedError, match="Received: No such file or directory"):
        list(read_shard(found, options_for(format)))


def test_reading_local_files_imports_neither_beam_nor_tensorflow(tmp_path):
    path = write(tmp_path, "tfrecord")
    program = (
        "import sys; from lookalike.sources import *; o = SourceOptions()\n"
        f"n = sum(1 for s in find_shards({path!r}, o) for r in read_shard(s, o))\n"
        "assert n == 3 and not {'apache_beam', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.slow
def test_damaged_shards_never_raise_hang_or_take_much_memory():
    """The short form of `python -m tests.fuzz_readers`."""
    assert fuzz(30)["shards"] == 30
