"""Brace lists."""

import pytest

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", ["a"]),
        ("a{1,3}b", ["a1b", "a3b"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{3..1}", ["3", "2", "1"]),
        ("x{a,{b,c}d}", ["xa", "xbd", "xa", "xcd"]),
        ("{a}" * 2000, ["a" * 2000]),
        ("{1..2", ["{1..2"]),
    ],
)
def test_braces_are_written_out_as_a_shell_does(pattern, expected):
    assert files.expand_braces(pattern) == expected


@pytest.mark.parametrize("pattern", ["{0..99999999999}", "x{1..1000001}", "{0..9}" * 7, "{a,b}" * 40])
def test_more_names_than_anyone_has_are_refused(pattern):
    with pytest.raises(LookalikeError, match="Expected at most 1,000,000 names"):
        files.expand_braces(pattern)


def test_a_range_of_thousands_of_digits_is_none():
    pattern = "{1.." + "9" * 5000 + "}"
    assert files.expand_braces(pattern) == [pattern[1:-1]]
