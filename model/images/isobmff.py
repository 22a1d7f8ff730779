"""Boxes of ISO media files, of which HEIC, AVIF, JPEG 2000 and JPEG XL are made (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and end of each box; a box that claims more than there is ends them."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind, body = (
            int.from_bytes(data[start : start + 4], "big"),
            data[start + 4 : start + 8],
            start + 8,
        )
        if size == 1:
            size, body = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        last = end if size == 0 else start + size
        if not body <= last <= end:
            return
        yield kind, body, last
        start = last


class Crop(NamedTuple):
    """Pixels of the decoded picture that are shown."""

    left: int
    top: int
    width: int
    height: int

    def is_within(self, width: int, height: int) -> bool:
        return (
            self.left >= 0
            and self.top >= 0
            and self.width > 0
            and self.height > 0
            and self.left + self.width <= width
            and self.top + self.height <= height
        )


def clean_aperture(data: bytes) -> Crop | None:
    """The crop of a still picture's main item (`clap`, ISO/IEC 14496-12, 12.1.4); None if there is none."""
    meta = next((span for kind, *span in boxes(data) if kind == b"meta"), None)
    if not meta:
        return None
    inside = {kind: (start, end) for kind, start, end in boxes(data, meta[0] + 4, meta[1])}
    main, properties = inside.get(b"pitm"), inside.get(b"iprp")
    if not main or not properties:
        return None
    width = 2 if data[main[0]] == 0 else 4
    item = int.from_bytes(data[main[0] + 4 : main[0] + 4 + width], "big")
    parts = {kind: (start, end) for kind, start, end in boxes(data, *properties)}
    known = list(boxes(data, *parts.get(b"ipco", (0, 0))))
    for number in _properties_of(data, item, *parts.get(b"ipma", (0, 0))):
        if 1 <= number <= len(known) and known[number - 1][0] == b"clap":
            return _crop(data, known, known[number - 1][1])
    return None


def _properties_of(data: bytes, item: int, start: int, end: int) -> list[int]:
    """Numbers of the properties that belong to an item, by the box `ipma` (ISO/IEC 23008-12, 9.3.1)."""
    version, wide = data[start], data[start + 3] & 1
    at = start + 8
    for _ in range(int.from_bytes(data[start + 4 : at], "big")):
        if at >= end:
            break
        width = 4 if version else 2
        found, count = int.from_bytes(data[at : at + width], "big"), data[at + width]
        at += width + 1
        each = 2 if wide else 1
        numbers = [int.from_bytes(data[n : n + each], "big") for n in range(at, at + count * each, each)]
        if found == item:
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        at += count * each
    return []


def _crop(data: bytes, known: list[tuple[bytes, int, int]], at: int) -> Crop:
    size = next(start for kind, start, _ in known if kind == b"ispe")
    width, height = (int.from_bytes(data[n : n + 4], "big") for n in (size + 4, size + 8))
    numbers = [int.from_bytes(data[n : n + 4], "big", signed=True) for n in range(at, at + 32, 4)]
    across, down, right, below = (numbers[n] / numbers[n + 1] for n in range(0, 8, 2))
    return Crop(
        round((width - across) / 2 + right), round((height - down) / 2 + below), round(across), round(down)
    )
