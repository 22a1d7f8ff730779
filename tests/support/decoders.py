"""A decoder that does harm where a picture says so, for tests of what becomes of it."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from lookalike.model.errors import ImageError, LookalikeError, NotEnoughMemoryError, TooManyPixelsError
from lookalike.model.images import decoder_child
from lookalike.model.images.decode import Image

PROGRAM = f"sys.path.insert(0, {os.getcwd()!r}); from {__name__} import main; main()"
"""For `DecoderProcesses`."""
HEAD = b"GIF89a "
"""What a picture begins with, by which its format is told."""


def main() -> None:
    decoder_child.decode = decode  # type: ignore[attr-defined]
    decoder_child.main()


_pictures = 0
_kept: list[np.ndarray] = []


def decode(data: bytes, *, max_pixels: int, **_: object) -> Image:
    """Does what the words behind `HEAD` say; gives the id of the process and the number of the picture as its size."""
    global _pictures
    _pictures += 1
    word, *numbers = data[len(HEAD) : 100].decode().split()
    if word.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, word))
    elif word == "once" and _pictures > 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == "exit":
        os._exit(3)
    elif word == "spin":
        while True:
            pass
    elif word == "sleep":
        time.sleep(60)
    elif word == "nap":
        time.sleep(0.3)
    elif word == "keep":
        _kept.append(np.ones(int(numbers[0]) << 20, np.uint8))
    elif word == "broken":
        raise LookalikeError("not installed")
    elif word == "refused":
        raise ImageError("cut short")
    elif word == "eat":
        try:
            kept = np.ones(int(numbers[0]) << 20, np.uint8)
        except MemoryError:
            raise NotEnoughMemoryError("too little") from None
        return Image(np.full((1, 1, 3), kept[0]), 1, 1)
    elif word == "pixels" and int(numbers[0]) > max_pixels:
        raise TooManyPixelsError("too large")
    return Image(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), os.getpid(), _pictures)
