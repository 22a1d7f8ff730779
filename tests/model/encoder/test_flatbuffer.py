"""FlatBuffers are read as they were written, and no offset is followed that leads astray."""

import flatbuffers
import numpy as np
import pytest

from lookalike.model.encoder.flatbuffer import FlatBuffer, FlatBufferError, Schema

INNER = Schema({"number": "i"}, {"number": 7})
OUTER = Schema(
    {"small": "b", "numbers": "[i]", "text": "str", "inner": INNER, "several": (INNER,), "gone": None}
)


def written(gone: bool = False) -> bytes:
    builder = flatbuffers.Builder(64)
    inner = []
    for number in (3, 7):
        builder.StartObject(1)
        builder.PrependInt32Slot(0, number, 7)
        inner.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for place in reversed(inner):
        builder.PrependUOffsetTRelative(place)
    several = builder.EndVector()
    numbers = builder.CreateNumpyVector(np.array([1, -2, 3], np.int32))
    text = builder.CreateString("text")
    builder.StartObject(6)
    builder.PrependInt8Slot(0, -5, 0)
    for slot, place in ((1, numbers), (2, text), (3, inner[0]), (4, several)):
        builder.PrependUOffsetTRelativeSlot(slot, place, 0)
    if gone:
        builder.PrependInt8Slot(5, 1, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def test_every_kind_of_field_is_read():
    read = FlatBuffer(written()).root(OUTER)
    np.testing.assert_array_equal(read.pop("numbers"), [1, -2, 3])
    assert read == {
        "small": -5,
        "text": b"text",
        "inner": {"number": 3},
        "several": [{"number": 3}, {"number": 7}],
        "gone": None,
    }


def test_a_field_that_must_not_be_there_is_refused():
    with pytest.raises(FlatBufferError, match="a field gone"):
        FlatBuffer(written(gone=True)).root(OUTER)
    fewer = Schema(dict(list(OUTER.fields.items())[:-1]))
    with pytest.raises(FlatBufferError, match="not known"):
        FlatBuffer(written(gone=True)).root(fewer)


def test_a_file_that_is_cut_anywhere_is_refused_or_read_within_its_bounds():
    data = written()
    for end in range(len(data)):
        with pytest.raises(FlatBufferError):
            FlatBuffer(data[:end]).root(OUTER)


@pytest.mark.parametrize("value", [0, 1, 2, 3, 5, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_any_number_anywhere_is_refused_or_read_within_its_bounds(value):
    data = written()
    for at in range(len(data) - 3):
        changed = data[:at] + value.to_bytes(4, "little") + data[at + 4 :]
        try:
            read = FlatBuffer(changed).root(OUTER)
        except FlatBufferError:
            continue
        assert set(read) == set(OUTER.fields)


def test_tables_that_are_shared_ten_thousands_of_times_are_refused():
    """A vector of offsets costs 4 bytes an entry, and every entry may lead to the same table."""
    builder = flatbuffers.Builder(64)
    builder.StartObject(1)
    inner = builder.EndObject()
    builder.StartVector(4, 110_000, 4)
    for _ in range(110_000):
        builder.PrependUOffsetTRelative(inner)
    several = builder.EndVector()
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(4, several, 0)
    builder.Finish(builder.EndObject())
    with pytest.raises(FlatBufferError, match="tables"):
        FlatBuffer(bytes(builder.Output())).root(OUTER)
