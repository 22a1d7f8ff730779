"""Text files as editors of any system save them."""

import os

import pytest

from lookalike.filesystem import text
from lookalike.filesystem.text import as_utf8, lines
from lookalike.model.errors import LookalikeError

TEXT = "ä.jpg\n\n x \n日本"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_are_the_same_in_every_encoding(tmp_path, encoding, ending):
    path = tmp_path / "ids.txt"
    path.write_bytes(TEXT.replace("\n", ending).encode(encoding))
    assert [line.decode() for line in lines(str(path))] == TEXT.split("\n")
    assert as_utf8(path.read_bytes(), "x").decode() == TEXT.replace("\n", ending)


def test_big_endian_is_told_by_its_mark():
    assert as_utf8("\ufeffä".encode("utf-16-be"), "x") == "ä".encode()


def test_bytes_that_are_no_utf8_stay():
    assert as_utf8(b"\xe4\n", "x") == b"\xe4\n"


def test_a_mark_of_utf16_before_what_is_none_is_refused(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(LookalikeError, match=r"Expected text in UTF-8 or UTF-16 in .*ids\.txt"):
        list(lines(str(path)))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_line(tmp_path, content):
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    assert list(lines(str(path))) == []


def test_a_line_that_does_not_end_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(b"a.jpg\n")
    os.truncate(path, 1 << 33)
    found = lines(str(path))
    assert next(found) == b"a.jpg"
    with pytest.raises(LookalikeError, match=r"lines of at most 1,048,576 bytes in .*ids\.txt"):
        next(found)


def test_of_utf16_no_more_is_read_than_fits_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MOST_HELD", 1 << 20)
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xff\xfe")
    os.truncate(path, 1 << 40)
    with pytest.raises(LookalikeError, match=r"at most 1,048,576 bytes of text in UTF-16 .*, in .*ids"):
        next(lines(str(path)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_comes_through_a_pipe_is_read(encoding):
    end, start = os.pipe()
    os.write(start, TEXT.encode(encoding))
    os.close(start)
    try:
        assert [line.decode() for line in lines(f"/dev/fd/{end}")] == TEXT.split("\n")
    finally:
        os.close(end)
