"""Image bytes to pixels, whatever the bytes: risky and large pictures are decoded in processes of their own.

JPEG, PNG and WebP of ordinary size are decoded here, by decoders that most of the world's pictures go through every day.
All other pictures go to a small pool of child processes with limits of memory and time, where a crash, a hang or a
bomb is the end of the child, and a reason for the caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np

from ..cores import cores
from ..errors import ImageError, LookalikeError
from . import child
from .decode import MAX_PIXELS, Image, decode_common
from .formats import TooManyPixelsError
from .levels import AnyWindow

HERE_PIXELS = 32_000_000
"""Larger pictures of any format are decoded in a child: here, a thread takes at most 11 bytes a pixel, 350 MB."""
ORDINARY_PIXELS = 16_000_000
ORDINARY_MEMORY = 320 << 20
"""Bytes that a child may take for a picture of at most `ORDINARY_PIXELS`, besides the file: 20 a pixel."""
LARGE_MEMORY = 1 << 30
"""The same for larger ones, of which an eighth as many as there are cores are decoded at a time, and at least one."""
SECONDS = 60.0
"""Processor time for a picture; of time that passes, five times that."""
COMMAND = (sys.executable, "-c", "import sys; sys.path[:] = {path!r}; from {module} import main; main()")

_large = threading.BoundedSemaphore(max(1, cores() // 8))


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int | None = None,
    window: AnyWindow | None = None,
    suspect: bool = False,
) -> Image:
    """As `model.images.decode.decode`, but no picture ends this process, hangs it or takes its memory.

    Args:
        data, max_pixels, min_side, window: as there.
        suspect: whether the picture may be what ended a process before; then it is not decoded in this one.

    Raises:
        ImageError: as there; also if the decoder crashed, took too much memory or too long.
        LookalikeError: as there; or no process can be started.
    """
    options = {"max_pixels": max_pixels, "min_side": min_side, "window": window}
    here = min(max_pixels, HERE_PIXELS)
    if not suspect:
        with contextlib.suppress(TooManyPixelsError):
            if image := decode_common(data, **{**options, "max_pixels": here}):
                return image
    try:
        ordinary = min(max_pixels, ORDINARY_PIXELS)
        return _pool.decode(data, {**options, "max_pixels": ordinary}, ORDINARY_MEMORY)
    except TooManyPixelsError:
        if max_pixels <= ORDINARY_PIXELS:
            raise
    with _large:
        return _pool.decode(data, options, LARGE_MEMORY)


class DecoderProcesses:
    """Child processes that wait for pictures; as many as there are threads that decode at the same time.

    Args:
        command: what starts one.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._idle: list[_Child] = []
        os.register_at_fork(after_in_child=self._idle.clear)

    def decode(self, data: bytes, options: dict[str, Any], memory: int, seconds: float = SECONDS) -> Image:
        """Decodes a picture in a child.

        Args:
            data: the file.
            options: keyword arguments of `model.images.decode.decode`.
            memory: bytes that the child may take besides.
            seconds: processor time that it may take.

        Raises:
            ImageError: as `model.images.decode.decode`; also if the child crashed, or took too long.
            LookalikeError: as there; or no process can be started.
        """
        child = self._idle.pop() if self._idle else _Child(self._command)
        try:
            answer, pixels, goes_on = child.ask(data, {**options, "memory": memory, "seconds": seconds})
        except BaseException:
            child.end()
            raise
        if goes_on:
            self._idle.append(child)
        else:
            child.end()
        ...
