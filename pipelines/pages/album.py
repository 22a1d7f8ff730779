"""The thumbnails of a page: each picture is read and made small once, and stands in the page wherever it is shown.

A page holds its pictures as `data:` addresses, so that one file is all of it. A picture that is shown at several places
stands in the page several times. To define it once and refer to it by SVG's `use` took a page of 341 queries with 10
matches, 2,166 pictures at 3,751 places, from 12.8 to 8.5 MB, and made it open in 2.4 s instead of 0.6; a CSS background
is neither printed nor has it words.
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from markupsafe import Markup

from lookalike.model.cores import cores
from lookalike.model.errors import ImageError
from lookalike.model.images import MAX_PIXELS
from lookalike.model.images.boxes import PartOfImage
from lookalike.model.images.isolated import decode

SIDE = 144
"""Pixels of a thumbnail's longer side."""
QUALITY = 75
"""Of WebP: a photograph of clothing takes about 3 kB."""
MOST_BYTES = 17 << 20
"""Of all pictures of a page."""
_AHEAD, _WAITING_BYTES = 8, 128 << 20
"""Images a thread that wait to be decoded, and bytes of all that wait; one alone may have more."""

ITEM, QUERY = "item", "query"
"""Kinds of pictures: of the catalogue and of the queries, which may have the same ids."""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture.

    Attributes:
        webp: the file.
        width, height: of it.
        sha256: of the file that it was made of.
    """

    webp: bytes
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class Picture:
    """A picture where it is shown.

    Attributes:
        address: `data:` and all of it; None where there is none.
        width, height: of it; 0 without one.
        reason: why there is none.
        sha256: of the file that it was made of, in hexadecimal; None if that was not read.
    """

    address: Markup | None
    width: int = 0
    height: int = 0
    reason: str | None = None
    sha256: str | None = None


class Album:
    """Collects thumbnails, then hands them out in the order in which a page shows them, as long as there is room.

    Args:
        most_bytes: of all that is handed out.

    Attributes:
        shown: pictures that were handed out.
        left_out: pictures that were asked for when there was no room.
        sizes: kind and id -> bytes of the file that a picture was read from.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._room = most_bytes
        self._made: dict[tuple[str, str], Thumbnail | str] = {}
        self._without: dict[str, str] = {}
        self.shown = self.left_out = 0
        self.sizes: dict[tuple[str, str], int] = {}

    def add(
        self,
        kind: str,
        pictures: Iterable[tuple[str, bytes | PartOfImage]],
        max_pixels: int = MAX_PIXELS,
        *,
        suspect: bool = False,
    ) -> None:
        """Makes thumbnails of (id, encoded image); of one id the first. Only some images are in memory at a time.

        Args:
            kind: `ITEM` or `QUERY`, or what else tells ids apart.
            pictures: to make small, as they are read.
            max_pixels: larger ones are refused.
            suspect: whether one of them may be what ended a process before.
        """
        ahead = _AHEAD * cores()
        waiting: deque[tuple[str, int, Future[Thumbnail | str]]] = deque()

        def take() -> None:
            name, size, made = waiting.popleft()
            self._made.setdefault((kind, name), made.result())
            self.sizes.setdefault((kind, name), size)

        with ThreadPoolExecutor(cores()) as pool:
            for name, data in pictures:
                waiting.append((name, len(data), pool.submit(thumbnail_or_reason, data, max_pixels, suspect)))
                while len(waiting) > ahead or (
                    len(waiting) > 1 and sum(size for _, size, _ in waiting) > _WAITING_BYTES
                ):
                    take()
            while waiting:
                take()

    def without(self, kind: str, reason: str) -> None:
        """Tells why pictures of a kind that were not added are not there."""
        self._without[kind] = reason

    def refuse(self, kind: str, names: Iterable[str], reason: str) -> None:
        """Tells why some pictures are not to be shown, whether they are added or not."""
        self._made.update({(kind, name): reason for name in names})

    def show(self, kind: str, name: str) -> Picture:
        """The picture of an id for the next place in the page; where there is none, with a reason instead."""
        made = self._made.get((kind, name), self._without.get(kind, "the picture was not found"))
        if isinstance(made, str):
            return Picture(None, reason=made)
        # Megabytes of base64, in which there is nothing to escape.
        address = Markup("data:image/webp;base64," + base64.b64encode(made.webp).decode())
        if len(address) > self._room:
            self.left_out += 1
            return Picture(None, reason="left out, the page is full", sha256=made.sha256)
        self._room -= len(address)
        self.shown += 1
        return Picture(address, made.width, made.height, sha256=made.sha256)


def thumbnail_or_reason(
    image: bytes | PartOfImage, max_pixels: int = MAX_PIXELS, suspect: bool = False
) -> Thumbnail | str:
    """A thumbnail of an encoded image, or of a part of it, upright; or why it cannot be decoded."""
    box = image.box if isinstance(image, PartOfImage) else None
    data = image.data if isinstance(image, PartOfImage) else image
    try:
        # A box is of the picture at full resolution.
        side = None if box else SIDE
        pixels = decode(data, max_pixels=max_pixels, min_side=side, suspect=suspect).pixels
        pixels = box.cut_from(pixels) if box else pixels
    except ImageError as error:
        return str(error)
    return thumbnail(pixels, hashlib.sha256(data + f"{box or ''}".encode()).hexdigest())


def thumbnail(pixels: np.ndarray, sha256: str) -> Thumbnail:
    """Makes pixels, uint8 (height, width, 3) in RGB, small enough to fit a square of `SIDE`; never larger."""
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    done, webp = cv2.imencode(
        ".webp", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
    )
    assert done
    return Thumbnail(webp.tobytes(), width, height, sha256)
