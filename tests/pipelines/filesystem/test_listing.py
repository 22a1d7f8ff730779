"""What a listing tells of a file."""

import pytest

from lookalike.filesystem.listing import TEMPORARY, info_of, is_temporary


@pytest.mark.parametrize(
    ("path", "unfinished"),
    [
        (f"a/.b{TEMPORARY}1", True),
        (f"s3://b/.a{TEMPORARY}1", True),
        (f"a/b{TEMPORARY}1", False),
        (f".a{TEMPORARY}1/b", False),
        ("a/.hidden", False),
    ],
)
def test_an_unfinished_file_is_known_by_its_name(path, unfinished):
    assert is_temporary(path) == unfinished


def test_a_local_file_is_listed_by_nanoseconds(tmp_path):
    (file := tmp_path / "x").write_bytes(b"abc")
    found = info_of(str(file), file.stat())
    assert (found.path, found.size, found.modified) == (str(file), 3, str(file.stat().st_mtime_ns))
