"""The child's side: its messages, and that nothing it prints or meets gets into them."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from lookalike.model.images.decoder_child import read_part, window_from, window_to, write_part
from lookalike.model.images.levels import AnyWindow, PercentileWindow, Window

CHATTY = """
import os, sys
from lookalike.model.images import decoder_child
def decode(data, **options):
    print("to Python's standard output"); os.write(1, b"to descriptor 1"); os.write(2, b"to descriptor 2")
    from lookalike.model.errors import ImageError
    raise ImageError("as expected")
decoder_child.decode = decode
decoder_child.main()
"""


def test_parts_come_back_and_a_cut_one_is_none() -> None:
    stream = io.BytesIO()
    write_part(stream, b"one")
    write_part(stream, b"")
    whole = stream.getvalue()
    stream.seek(0)
    assert [read_part(stream) for _ in range(3)] == [b"one", b"", None]
    assert read_part(io.BytesIO(whole[:9])) is None
    assert read_part(io.BytesIO(whole[:3])) is None


@pytest.mark.parametrize("window", [None, Window(-600.5, 1500), PercentileWindow(0.5, 99.5)])
def test_a_window_comes_back(window: AnyWindow | None) -> None:
    assert window_from(json.loads(json.dumps(window_to(window)))) == window


def test_what_a_library_prints_goes_nowhere() -> None:
    request = io.BytesIO()
    write_part(request, json.dumps({"memory": 1 << 28, "seconds": 10}).encode())
    write_part(request, b"a picture")
    ended = subprocess.run(
        [sys.executable, "-c", CHATTY], input=request.getvalue(), capture_output=True, check=True
    )
    answer = io.BytesIO(ended.stdout)
    assert read_part(answer) == b"", "it has started"
    assert json.loads(read_part(answer) or b"")["refused"] == "as expected"
    assert [read_part(answer), read_part(answer)] == [b"", None]
    assert ended.stderr == b""


@pytest.mark.parametrize("cut", [0, 4, 20])
def test_a_request_that_is_cut_is_the_end(cut: int) -> None:
    program = "from lookalike.model.images.decoder_child import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program], input=b"\x20" + bytes(cut), capture_output=True, check=True
    )
    assert (ended.stdout, ended.stderr) == (bytes(8), b"")
