"""Pictures that a path names: their bytes, or a reason."""

import os

from lookalike.query.fetching import UnreadableError, fetch
from lookalike.sources import SourceOptions

OPTIONS = SourceOptions(max_bytes=4)


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"data")
    assert fetch(str(tmp_path / "a"), OPTIONS) == b"data"
    assert fetch(f"file://{tmp_path}/a", OPTIONS) == b"data"


def test_what_is_no_file_has_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"datum")
    reasons = {
        name: str(found)
        for name in (".", "pipe", "large", "gone", "nul\0")
        if isinstance(found := fetch(str(tmp_path / name), OPTIONS), UnreadableError)
    }
    assert reasons["."].startswith("a folder")
    assert reasons["pipe"].startswith("no file")
    assert "4" in reasons["large"]
    assert "No such file" in reasons["gone"]
    assert "null byte" in reasons["nul\0"]
