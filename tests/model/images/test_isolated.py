"""Which pictures are decoded in this process, and how often a lost one is tried."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from lookalike.model.errors import ImageError, TooManyPixelsError
from lookalike.model.images import decode as whole
from lookalike.model.images import isolated
from lookalike.model.images.decode import Image
from lookalike.model.images.decoder_processes import LostProcessError
from lookalike.model.images.isolated import (
    HERE_PIXELS,
    LARGE_MEMORY,
    ORDINARY_MEMORY,
    ORDINARY_PIXELS,
    decode,
)
from lookalike.model.images.levels import AnyWindow, PercentileWindow, Window

GREY = Image(np.full((1, 1, 3), 128, np.uint8), 1, 1)


def encoded(format: str, size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", size, (200, 100, 50)).save(stream, format)
    return stream.getvalue()


class Processes:
    """Answers as told, and notes what it was asked: (most pixels, memory, fresh)."""

    def __init__(self, *answers: Image | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int, bool]] = []

    def decode(self, data: bytes, options: dict[str, Any], memory: int, *, fresh: bool = False) -> Image:
        self.asked.append((options["max_pixels"], memory, fresh))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answering(*answers: Image | Exception) -> list[tuple[int, int, bool]]:
        processes = Processes(*answers)
        monkeypatch.setattr(isolated, "_processes", processes)
        return processes.asked

    return answering


ORDINARY = (ORDINARY_PIXELS, ORDINARY_MEMORY, False)
LARGE = (100_000_000, LARGE_MEMORY, False)
LARGE_AND_FRESH = (100_000_000, LARGE_MEMORY, True)
LOST, TOO_LARGE = LostProcessError("gone"), TooManyPixelsError("too large")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP"])
def test_ordinary_pictures_are_decoded_here(answers: Any, format: str) -> None:
    asked = answers()
    assert decode(encoded(format)).pixels.shape == (30, 40, 3)
    assert asked == []


@pytest.mark.parametrize("format", ["GIF", "TIFF", "BMP"])
def test_rare_formats_are_decoded_in_a_process(answers: Any, format: str) -> None:
    asked = answers(GREY)
    assert decode(encoded(format)) is GREY
    assert asked == [ORDINARY]


@pytest.mark.parametrize(
    "data",
    [
        encoded("WebP") + b"JUNK\0\0\0\0" * 1000,
        encoded("WebP") + bytes(4 * 40 * 30 + (1 << 16)),
        encoded("WebP", (4000, 3501)),
    ],
    ids=["chunks", "bytes", "pixels"],
)
def test_a_webp_that_takes_much_memory_is_decoded_in_a_process(answers: Any, data: bytes) -> None:
    asked = answers(GREY)
    assert decode(data) is GREY
    assert asked == [ORDINARY]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP"])
def test_a_suspect_picture_is_decoded_in_a_process(answers: Any, format: str) -> None:
    asked = answers(GREY)
    assert decode(encoded(format), suspect=True) is GREY
    assert asked == [ORDINARY]


def test_a_large_picture_is_decoded_in_a_process(answers: Any) -> None:
    asked = answers(TOO_LARGE, GREY)
    assert decode(encoded("PNG", (8000, HERE_PIXELS // 8000 + 1))) is GREY
    assert asked == [ORDINARY, LARGE]


def test_a_picture_beyond_the_limit_is_refused_with_the_limit_that_was_asked_for(answers: Any) -> None:
    asked = answers()
    with pytest.raises(TooManyPixelsError, match="40 x 30 = 1,200 pixels, more than the limit of 1,199"):
        decode(encoded("PNG"), max_pixels=1_199)
    assert asked == []
    answers(TooManyPixelsError("too large for 100"))
    with pytest.raises(TooManyPixelsError, match="too large for 100"):
        decode(encoded("GIF"), max_pixels=100)


def test_a_png_far_larger_than_its_pixels_is_decoded_in_a_process(answers: Any) -> None:
    asked = answers(GREY)
    assert decode(encoded("PNG")[:-12] + bytes(1 << 17)) is GREY
    assert asked == [ORDINARY]


def test_a_picture_that_is_lost_is_tried_once_more_with_all_that_there_is(answers: Any) -> None:
    asked = answers(LOST, GREY)
    assert decode(encoded("GIF")) is GREY
    assert asked == [ORDINARY, LARGE_AND_FRESH]
    asked = answers(LOST, LostProcessError("gone for good"))
    with pytest.raises(ImageError, match="gone for good"):
        decode(encoded("GIF"))
    assert asked == [ORDINARY, LARGE_AND_FRESH]


def test_a_large_picture_that_is_lost_is_tried_in_a_fresh_process(answers: Any) -> None:
    asked = answers(TOO_LARGE, LOST, GREY)
    assert decode(encoded("GIF")) is GREY
    assert asked == [ORDINARY, LARGE, LARGE_AND_FRESH]


def test_a_picture_that_is_refused_is_not_tried_again(answers: Any) -> None:
    asked = answers(ImageError("cut short"))
    with pytest.raises(ImageError, match="cut short"):
        decode(encoded("GIF"))
    assert asked == [ORDINARY]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "GIF", "TIFF"])
@pytest.mark.parametrize("suspect", [False, True])
def test_the_pixels_are_those_of_decode(format: str, suspect: bool) -> None:
    data = encoded(format)
    assert np.array_equal(decode(data, suspect=suspect).pixels, whole.decode(data).pixels)
    assert decode(data, suspect=suspect)[1:] == (40, 30)


@pytest.mark.parametrize("window", [Window(120, 31), PercentileWindow(5, 80)])
def test_a_window_goes_along(window: AnyWindow) -> None:
    data = encoded("TIFF")
    assert np.array_equal(decode(data, window=window).pixels, whole.decode(data, window=window).pixels)


def test_a_fork_while_a_large_picture_is_decoded_leaves_room_for_one_in_the_child() -> None:
    code = (
        "import os\nfrom lookalike.model.images import isolated\nheld = isolated._large\n"
        "while held.acquire(blocking=False): pass\n"
        "if child := os.fork(): print(os.waitpid(child, 0)[1])\n"
        "else: os._exit(0 if isolated._large.acquire(blocking=False) else 1)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "0\n"
