"""Names local files in what the system says of them: of reading, writing and flushing it tells a number alone."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Names a file in what the system says of it in the block, where that does not."""
    try:
        yield
    except OSError as error:
        # Arrow has text of its own about the number.
        if error.errno and not error.filename:
            raise type(error)(error.errno, os.strerror(error.errno), path) from error
        raise


class LocalFile(io.FileIO):
    """A local file whose every error names it, also those of reading and writing, which the system tells without."""

    def readinto(self, buffer: Any, /) -> int:
        with naming(str(self.name)):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with naming(str(self.name)):
            return super().readall()

    def read(self, size: int | None = -1, /) -> bytes:
        with naming(str(self.name)):
            return super().read(-1 if size is None else size)

    def write(self, data: Any, /) -> int:
        with naming(str(self.name)):
            return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        with naming(str(self.name)):
            return super().truncate(size)


def temporary_file(folder: str | None = None) -> io.BufferedRandom:
    """A new local file without a name, gone when it is closed, whose every error names the folder that it lies in.

    Args:
        folder: where it lies; None is the folder of the system's temporary files.

    Raises:
        OSError: if it cannot be made.
    """
    folder = folder or tempfile.gettempdir()
    with tempfile.TemporaryFile(dir=folder) as made:
        file = LocalFile(os.dup(made.fileno()), "r+")
    file.name = folder
    return io.BufferedRandom(file)
