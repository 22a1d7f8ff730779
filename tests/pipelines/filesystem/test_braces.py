"""Brace lists."""

import pytest

from lookalike.filesystem import files


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", ["a"]),
        ("a{1,3}b", ["a1b", "a3b"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{3..1}", ["3", "2", "1"]),
    ],
)
def test_braces_are_written_out_as_a_shell_does(pattern, expected):
    assert files.expand_braces(pattern) == expected
