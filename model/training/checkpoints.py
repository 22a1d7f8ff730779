"""A checkpoint: arrays and a note in one file, which is there as a whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..encoder.npz import read_npz
from ..errors import LookalikeError

_NOTE = "note"


class Checkpoint:
    """The last checkpoint of a training.

    Args:
        path: the file: the SHA-256 of what follows, in hexadecimal, a line feed, then an npz archive.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def save(self, arrays: dict[str, np.ndarray], note: dict[str, Any]) -> None:
        """Replaces what is there. A run that is killed meanwhile, or a power cut, leaves the one from before.

        Args:
            arrays: by name; any name but `note`.
            note: plain values that JSON can hold.

        Raises:
            OSError: naming the file, if it cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **{_NOTE: np.frombuffer(json.dumps(note).encode(), np.uint8)})
        content = buffer.getbuffer()
        temporary = self.path.with_name(f".{self.path.name}.tmp-{os.getpid()}")
        try:
            with open(temporary, "wb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:  # of writing and flushing the system tells without a name
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        finally:
            temporary.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The arrays and the note; None if there is no checkpoint. Unpickles nothing.

        Raises:
            LookalikeError: if the file is damaged, or no checkpoint.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        expected, content = content[:64].decode("ascii", "replace"), content[65:]
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise LookalikeError(
                f"The checkpoint is damaged: {self.path} should have SHA-256 {expected}. Received: {found}. "
                "Start anew with --fresh"
            )
        arrays = read_npz(content, self.path, "a checkpoint")
        try:
            return arrays, dict(json.loads(arrays.pop(_NOTE).tobytes()))
        except (KeyError, ValueError, TypeError, RecursionError):
            raise self.damaged(f"no {_NOTE} that can be read") from None

    def damaged(self, what: str) -> LookalikeError:
        """The error for what it holds, or lacks, though its digest is right."""
        return LookalikeError(
            f"Expected a checkpoint as this version writes it in {self.path}. Received: {what}. Start anew with --fresh"
        )

    def delete(self) -> None:
        """Removes it; that there is none is no error."""
        self.path.unlink(missing_ok=True)


def refuse_other(found: dict[str, Any], expected: dict[str, Any], where: str) -> None:
    """Refuses what was begun with other settings or images.

    Raises:
        LookalikeError: naming what differs.
    """
    keys = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
    if keys:
        differs = "; ".join(f"{key} was {found.get(key)!r} and is {expected.get(key)!r}" for key in keys[:5])
        more = f"; and {len(keys) - 5} more" if len(keys) > 5 else ""
        raise LookalikeError(
            f"{where} is of another training: {differs}{more}. Give another folder as `run`, or --fresh to begin anew"
        )
