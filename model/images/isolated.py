"""Image bytes to pixels, whatever the bytes: what is rare, large or suspect is decoded in processes of their own.

JPEG, PNG and WebP of ordinary size are decoded here, by decoders that most of the world's pictures go through. Any
other picture goes to a child process with limits of memory and time, where a crash, a hang or a bomb is the end of
the child, and a reason for the caller.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Any

from ..cores import cores
from ..errors import TooManyPixelsError
from . import MAX_PIXELS
from .decode import Image, decode_common
from .decoder_processes import DecoderProcesses, LostProcessError
from .levels import AnyWindow

HERE_PIXELS = 32_000_000
"""Pictures of more pixels are decoded in a child, of any format."""
ORDINARY_PIXELS, ORDINARY_MEMORY = 16_000_000, 320 << 20
"""What a child may take besides the file, in bytes, and for how large a picture: 20 bytes a pixel."""
LARGE_MEMORY = 1 << 30
"""The same for larger pictures; an eighth as many of these as there are cores, and one at least, at a time."""
_large = threading.BoundedSemaphore(max(1, cores() // 8))
_processes = DecoderProcesses()


def _forked() -> None:
    """Threads that held a place of `_large` are not in the child of a fork: they would never give it back."""
    global _large
    _large = threading.BoundedSemaphore(max(1, cores() // 8))


os.register_at_fork(after_in_child=_forked)


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int | None = None,
    middle: Sequence[int] | None = None,
    window: AnyWindow | None = None,
    suspect: bool = False,
) -> Image:
    """As `model.images.decode.decode`, but no picture ends this process, blocks it or takes all its memory.

    Args:
        data, max_pixels, min_side, middle, window: as there.
        suspect: whether the picture may be one that ended a process before; then no decoder meets it in this one.

    Raises:
        ImageError: as there; also if a decoder crashed, or took too much memory or time.
        LookalikeError: as there; also if no process can be started.
    """
    options: dict[str, Any] = {"min_side": min_side, "middle": middle, "window": window}
    if not suspect:
        try:
            image = decode_common(data, max_pixels=min(max_pixels, HERE_PIXELS), **options)
            if image:
                return image
        except TooManyPixelsError:
            if max_pixels <= HERE_PIXELS:
                raise
    crashed = False
    try:
        ordinary = min(max_pixels, ORDINARY_PIXELS)
        return _processes.decode(data, {"max_pixels": ordinary, **options}, ORDINARY_MEMORY)
    except TooManyPixelsError:
        if max_pixels <= ORDINARY_PIXELS:
            raise
    except LostProcessError:
        crashed = True
    options["max_pixels"] = max_pixels
    with _large:
        if not crashed:
            with contextlib.suppress(LostProcessError):
                return _processes.decode(data, options, LARGE_MEMORY)
        return _processes.decode(data, options, LARGE_MEMORY, fresh=True)
