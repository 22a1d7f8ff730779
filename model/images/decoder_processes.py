"""Child processes that decode images, with limits of memory and time, and what is told of those that ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from typing import IO, Any

import numpy as np

from ..errors import ImageError, LookalikeError, NotEnoughMemoryError, TooManyPixelsError
from . import decoder_child
from .decode import Image, format_of
from .decoder_child import read_part, window_to, write_part

SECONDS = 60.0
"""Processor time that a process may take for a picture."""
WAIT = 5
"""How many times as long a picture may take by the clock, on a machine that is busy."""


class LostProcessError(NotEnoughMemoryError):
    """The process ended, or had not enough memory; pictures that it had before may have a part in it."""


class DecoderProcesses:
    """Processes that wait for pictures: as many as have been needed at the same time.

    Args:
        program: Python source of a process, which calls `decoder_child.main`.
    """

    def __init__(self, program: str = f"from {decoder_child.__name__} import main; main()") -> None:
        self._program = program
        self._idle: list[_Process] = []
        os.register_at_fork(after_in_child=self._idle.clear)

    def decode(
        self,
        data: bytes,
        options: dict[str, Any],
        memory: int,
        *,
        seconds: float = SECONDS,
        fresh: bool = False,
    ) -> Image:
        """Decodes a picture in one of the processes. Safe to call from any number of threads.

        Args:
            data: the file.
            options: keyword arguments of `model.images.decode.decode`.
            memory: bytes that the process may take for it, besides the file.
            seconds: processor time that it may take.
            fresh: whether the process must be one that has had no picture before.

        Raises:
            LostProcessError: if the process ended, but not for taking too long, or had not enough memory.
            ImageError: as `model.images.decode.decode`; also if it took too long.
            LookalikeError: as there; also if no process can be started.
        """
        process = (None if fresh else self._waiting()) or _Process(self._program)
        goes_on = False
        try:
            answer, pixels, goes_on = process.ask(data, {**options, "memory": memory, "seconds": seconds})
        finally:
            if goes_on:
                self._idle.append(process)
            else:
                process.end()
        if pixels is not None:
            return Image(pixels, answer["width"], answer["height"])
        if "broken" in answer:
            raise LookalikeError(answer["broken"])
        if answer["lacks_memory"]:
            raise LostProcessError(f"{format_of(data)}: needs more than {memory >> 20:,} MiB to be decoded")
        raise (TooManyPixelsError if answer["too_many_pixels"] else ImageError)(answer["refused"])

    def _waiting(self) -> _Process | None:
        with contextlib.suppress(IndexError):
            while True:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                process.end()
        return None


class _Process:
    """One of the processes. Raises LookalikeError if it cannot be started."""

    def __init__(self, program: str) -> None:
        # Only text: import passes over other entries, whose code may mean nothing there.
        path = [entry for entry in sys.path if isinstance(entry, str)]
        program = f"import sys; sys.path[:] = {path!a}; {program}"
        # Threads of libraries would only take memory: as many of these processes run as there are cores.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        executable = (
            sys.executable or "python"
        )  # an interpreter inside another program may not know where it is
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                [executable, "-c", program], stdin=pipe, stdout=pipe, stderr=null, env=environment
            )
        except OSError as error:
            raise LookalikeError(f"A process that decodes images cannot be started: {error}") from error
        # Else what is wrong with this machine would be told of each picture.
        if read_part(self._pipe(self._process.stdout)) is None:
            raise LookalikeError(
                f"A process that decodes images cannot be started: {executable} ended by {_cause(self.end())}"
            )

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> int:
        """Ends it, if it has not ended; gives its exit code, of a signal the negative number."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                self._pipe(pipe).close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.1)
        self._process.kill()
        return self._process.wait()

    def ask(self, data: bytes, options: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None, bool]:
        """What the process answers, the pixels if there are any, and whether it takes another picture.

        Raises:
            LostProcessError: if it ended.
            ImageError: if it took too long.
        """
        target, source = self._pipe(self._process.stdin), self._pipe(self._process.stdout)
        seconds = options["seconds"]
        try:
            written = {**options, "window": window_to(options.get("window"))}
            for part in (json.dumps(written).encode(), data):
                write_part(target, part)
            target.flush()
            waiting = select.poll()
            waiting.register(source, select.POLLIN)
            if not waiting.poll(1000 * WAIT * seconds):
                raise ImageError(f"{format_of(data)}: decoding took more than {WAIT * seconds:g} s")
            answer = json.loads(_whole(source))
            pixels = None
            if "shape" in answer:
                pixels = np.empty(answer["shape"], np.uint8)
                if source.readinto(pixels.data.cast("B")) != pixels.nbytes:  # type: ignore[attr-defined]
                    raise EOFError
            return answer, pixels, _whole(source) != b"last"
        except (OSError, EOFError):
            raise self._ended(data, seconds) from None

    def _ended(self, data: bytes, seconds: float) -> ImageError:
        code = self.end()
        name = format_of(data)
        if code == -signal.SIGXCPU:
            return ImageError(f"{name}: decoding took more than {seconds:g} s of processor time")
        return LostProcessError(f"{name}: its decoder ended by {_cause(code)}")

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # both were asked for
        return pipe


def _cause(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _whole(source: IO[bytes]) -> bytes:
    part = read_part(source)
    if part is None:
        raise EOFError
    return part
