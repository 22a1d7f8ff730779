"""Pictures that are named by a path or a URL, fetched whole."""

from __future__ import annotations

import os
import stat

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..sources import SourceOptions


class UnreadableError(Exception):
    """A picture that cannot be fetched; the message is the reason."""


def fetch(path: str, options: SourceOptions) -> bytes | UnreadableError:
    """The bytes of a file, or why there are none.

    Args:
        path: of a file of this machine, or a URL.
        options: how large it may be.
    """
    try:
        if not files.is_remote(path):
            # A named pipe would wait for a writer.
            mode = os.stat(path.removeprefix("file://")).st_mode
            if not stat.S_ISREG(mode):
                return UnreadableError(f"{'a folder' if stat.S_ISDIR(mode) else 'no file'}: {path}")
        with files.open_read(path) as file:
            size = files.look_at(path, file).size
            return (
                UnreadableError(options.too_large(size)) if size > options.max_bytes else file.read(size + 1)
            )
    except OSError as error:
        return UnreadableError(files.reason(error))
    except (LookalikeError, ValueError) as error:
        return UnreadableError(f"{error}: {path!r}")
