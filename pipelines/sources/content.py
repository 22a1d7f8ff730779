"""What a file is by its first bytes, where its name does not tell."""

from __future__ import annotations

from lookalike.model.errors import ImageError
from lookalike.model.images.signatures import format_of

HEAD = 512
"""Bytes that tell it."""


def is_image(head: bytes) -> bool:
    """Whether a file that begins like this is an image that can be decoded."""
    try:
        format_of(head)
    except ImageError:
        return False
    return True


def is_text(head: bytes) -> bool:
    """Whether a file that begins like this is text, or empty."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be cut.
        if len(head) < HEAD or error.start < len(head) - 3:
            return False
    return b"\0" not in head
