"""What is told of a record that could not be embedded."""

from __future__ import annotations

import pytest

from lookalike.pages.reject_examples import beginning


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"<html>404", "9 bytes: <html>404"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 20, "24 bytes: ff d8 ff e0 " + "00 " * 11 + "00 …"),
        (b"a" * 40, "40 bytes: " + "a" * 32 + " …"),
    ],
)
def test_a_file_is_told_by_its_size_and_how_it_begins(data: bytes, told: str) -> None:
    assert beginning(data) == told
