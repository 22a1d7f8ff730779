"""What a filter may not call, since a number in it decides how much memory that takes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lookalike.index.filters import read_filter
from lookalike.model.errors import LookalikeError

ITEMS = pa.schema([("code", pa.string()), ("price", pa.float64())])


@pytest.mark.parametrize(
    "text",
    [
        "len(range(2000000000)) > 0",
        "len(GENERATE_SERIES(1, 9)) > 0",
        "len(repeat(code, 300000000)) > 0",
        "printf('%1000000000d', 3) = code",
        "format('{:1000000000}', code) = code",
        "bar(price, 0, 1, 1000000000) = code",
        "len(list_resize([1], 1000000000)) > 0",
        "bit_count(bitstring('1', 1000000000)) > 0",
        "lower(substring(repeat('x', 1000000000), 1, 1)) = code",
    ],
)
def test_values_of_any_length_are_not_made(text):
    with pytest.raises(LookalikeError, match="makes values of any length"):
        read_filter(text, ITEMS)


def test_short_texts_are_padded():
    assert read_filter("lpad(code, 13, '0') = '0000000000017'", ITEMS).columns == ("code",)


@pytest.mark.parametrize("length", ["1001", "1000000000000", "price::int", "999 + 999", "-1", "'7x'"])
def test_no_text_is_padded_to_any_length(length):
    with pytest.raises(LookalikeError, match="expected a number up to 1000 as length in rpad"):
        read_filter(f"rpad(code, {length}, '0') = 'x'", ITEMS)
