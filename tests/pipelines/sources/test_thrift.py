import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.sources.thrift import CutError, Reader


def test_nothing_is_read_behind_the_last_field_that_is_wanted():
    reader = Reader(b"\x15\x02\x15\x04\xff", 100)
    assert reader.struct(last=2) == {1: 1, 2: 2}
    assert reader.place == 4


def test_values_of_all_kinds_are_read():
    data = (
        b"\x15\x03"  # 1: -2
        b"\x11\x12"  # 2: true, 3: false
        b"\x18\x02ab"  # 4: text
        b"\x19\x25\x02\x04"  # 5: [1, 2]
        b"\x1c\x15\x02\x00"  # 6: {1: 1}
        b"\x17" + bytes(8) + b"\x13\x05"  # 7: a double, 8: a byte
        b"\x05\xc8\x01\x08"  # 100: 4
        b"\x1a\xf1\x0f" + bytes(15) + b"\x00rest"  # 101: a set of 15 booleans
    )
    reader = Reader(data, 100)
    expected = {
        1: -2,
        2: True,
        3: False,
        4: b"ab",
        5: [1, 2],
        6: {1: 1},
        7: None,
        8: None,
        100: 4,
        101: [None] * 15,
    }
    assert reader.struct() == expected
    assert data[reader.place :] == b"rest"


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_structure_or_an_error(data):
    reader = Reader(data, 100)
    try:
        reader.struct()
    except ValueError:
        return
    for cut in range(reader.place):
        with pytest.raises(CutError):
            Reader(data[:cut], 100).struct()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x1c" * 50, "too deeply"),
        (b"\x19\x19" * 50, "too deeply"),
        (b"\x19\xf5\x65", "list .* is too long"),
    ],
)
def test_limits_hold(data, error):
    with pytest.raises(ValueError, match=error):
        Reader(data, 100).struct()
