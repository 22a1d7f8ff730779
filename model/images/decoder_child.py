"""A process that decodes images, one after the other, for the process that started it: see `decoder_processes`."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
import signal
import struct
from typing import IO, Any

import numpy as np

from ..errors import ImageError, LookalikeError, NotEnoughMemoryError, TooManyPixelsError
from ..memory_limit import limit_memory, set_limit, taken
from .decode import decode
from .levels import AnyWindow, PercentileWindow, Window

MOST_KEPT = 512 << 20
"""Bytes that a process may have grown by; then it ends, and a new one takes its place. TensorFlow takes 330 MiB."""
LENGTH = struct.Struct("<Q")
"""What stands before each part of a message."""


def main() -> None:
    """Answers requests on file descriptor 0, each on 1, until there are no more.

    A request is its options as JSON, and the image; an answer JSON, and the pixels if there are any. What native
    libraries print goes nowhere.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = taken()
    write_part(target, b"")  # it has started
    target.flush()
    while (head := read_part(source)) is not None:
        options, data = json.loads(head), read_part(source)
        answer, pixels = _answer(data or b"", **options)
        del data
        write_part(target, json.dumps(answer).encode())
        if pixels is not None:
            target.write(np.ascontiguousarray(pixels).data.cast("B"))
            del pixels
        _trim()
        ends = taken() > before + MOST_KEPT
        write_part(target, b"last" if ends else b"")
        target.flush()
        if ends:
            return


def _answer(
    data: bytes, memory: int, seconds: float, window: list[Any] | None = None, **options: Any
) -> tuple[dict[str, Any], np.ndarray | None]:
    limit_memory(memory)
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    set_limit(resource.RLIMIT_CPU, most)
    try:
        image = decode(data, window=window_from(window), **options)
    except ImageError as error:
        kinds = {"lacks_memory": NotEnoughMemoryError, "too_many_pixels": TooManyPixelsError}
        return {
            "refused": str(error),
            **{name: isinstance(error, kind) for name, kind in kinds.items()},
        }, None
    except LookalikeError as error:
        return {"broken": str(error)}, None
    return {"shape": image.pixels.shape, "width": image.width, "height": image.height}, image.pixels


def _trim() -> None:
    """Gives back what malloc keeps, which would count as taken before the next picture."""
    with_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if with_trim:
        with_trim(0)


def window_to(window: AnyWindow | None) -> list[Any] | None:
    """A window as JSON has it: name of the class, and its numbers."""
    return [type(window).__name__, *dataclasses.astuple(window)] if window else None


def window_from(written: list[Any] | None) -> AnyWindow | None:
    """What `window_to` gave."""
    if written is None:
        return None
    name, *numbers = written
    return Window(*numbers) if name == "Window" else PercentileWindow(*numbers)


def read_part(source: IO[bytes]) -> bytes | None:
    """One part of a message; None where there is none, or it is cut."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = source.read(length)
    return data if len(data) == length else None


def write_part(target: IO[bytes], data: bytes) -> None:
    """One part of a message. Raises OSError if nobody reads it."""
    target.write(LENGTH.pack(len(data)))
    target.write(data)
