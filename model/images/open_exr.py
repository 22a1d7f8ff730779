"""OpenEXR, whose samples are amounts of light without a greatest one, by tensorflow-io.

Its decoder ends the process where a file is cut, and where samples are asked for in another type than they have. What
the header can tell is looked at here first; for the rest this format is decoded in a process of its own
(`model.images.isolated`). tensorflow-io reads Radiance files, too, but one that is cut makes it turn for ever.

As in `model.images.formats`, exceptions are not handled here.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from .. import imports
from ..errors import ImageError
from .formats import check_size
from .levels import AnyWindow, by_bands, grey

_KINDS = {1: "float16", 2: "float32"}
"""OpenEXR's pixel types that hold light; 0 is a whole number, an id of a thing."""
_TILED, _DEEP, _SEVERAL_PARTS = 0x200, 0x800, 0x1000
_LINES = {b"\3": 16, b"\4": 32, b"\5": 16, b"\6": 32, b"\7": 32, b"\x08": 32, b"\x09": 256}
"""Compression -> lines in a block: ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB; one of all others."""


class _Header(NamedTuple):
    """Size in pixels, and the type of each channel's samples."""

    width: int
    height: int
    channels: dict[str, int]


def decode(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode the data window of a file of one part: RGB on white, or luminance; uint8 (height, width, 3).

    Without a window light is shown as `display_levels` says; a window goes to the samples as they are stored.
    """
    header = _header(data)
    check_size(header.width, header.height, max_pixels)
    colours = [name for name in "RGB" if name in header.channels]
    names = colours or [name for name in "Y" if name in header.channels]
    if len(names) not in (1, 3) or any(header.channels[name] not in _KINDS for name in names):
        listed = ", ".join(header.channels)
        raise ImageError(f"OpenEXR with the channels {listed}, of which no picture can be made")
    samples = np.stack([_channel(data, name, header) for name in names], axis=-1)
    if header.channels.get("A") in _KINDS:  # colours are multiplied by it already
        samples += 1 - np.clip(_channel(data, "A", header), 0, 1)[..., None]
    return _shown(samples, window)


def display_levels(light: np.ndarray) -> np.ndarray:
    """Linear light to uint8 of the same shape, by the transfer function of sRGB (IEC 61966-2-1).

    What is above 1 is white, NaN no light.
    """

    def convert(band: np.ndarray) -> np.ndarray:
        linear = np.clip(np.nan_to_num(band.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
        curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return np.rint(curved * 255).astype(np.uint8)

    return by_bands(convert, light)


def _shown(samples: np.ndarray, window: AnyWindow | None) -> np.ndarray:
    levels = window.apply(samples) if window else display_levels(samples)
    return grey(levels[..., 0]) if levels.shape[-1] == 1 else levels


def _channel(data: bytes, name: str, header: _Header) -> np.ndarray:
    tf, tfio = imports.tensorflow(), imports.tensorflow_io()
    kind = getattr(tf, _KINDS[header.channels[name]])
    try:
        samples = tfio.experimental.image.decode_exr(data, 0, name, kind).numpy()
    except tf.errors.OpError:
        raise ImageError("OpenEXR cut short or corrupt: its samples cannot be read") from None
    if samples.shape != (header.height, header.width):
        raise ImageError(f"OpenEXR cut short or corrupt: {samples.shape} samples of {name}")
    return np.asarray(samples, np.float32)


def _header(data: bytes) -> _Header:
    """Reads the attributes of a file (the specification, "OpenEXR File Layout").

    Raises:
        ImageError: for a file of another kind, or one that is cut.
    """
    (version,) = struct.unpack_from("<I", data, 4)
    if version & (_DEEP | _SEVERAL_PARTS):
        raise ImageError("OpenEXR of several parts or with deep samples, which is not supported")
    attributes: dict[bytes, bytes] = {}
    at = 8
    while data[at : at + 1] != b"\0":
        name = data.find(b"\0", at, at + 256)
        kind = data.find(b"\0", name + 1, name + 257)
        if name < 0 or kind < 0 or kind + 5 > len(data):
            raise ImageError("OpenEXR cut short or corrupt: its header does not end")
        (size,) = struct.unpack_from("<I", data, kind + 1)
        attributes[data[at:name]] = data[kind + 5 : kind + 5 + size]
        at = kind + 5 + size
    if not {b"dataWindow", b"channels"} <= attributes.keys() or len(attributes[b"dataWindow"]) != 16:
        raise ImageError("OpenEXR cut short or corrupt: its header has no window or no channels")
    left, top, right, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
    channels: dict[str, int] = {}
    listed = attributes[b"channels"]
    while len(listed) > 17:
        name_of, _, rest = listed.partition(b"\0")
        channels[name_of.decode("latin-1")] = int.from_bytes(rest[:4], "little")
        listed = rest[16:]
    header = _Header(right - left + 1, bottom - top + 1, channels)
    if not version & _TILED and 0 < header.height <= len(data):
        _check_blocks(data, at + 1, header.height, attributes.get(b"compression", b""))
    return header


def _check_blocks(data: bytes, start: int, height: int, compression: bytes) -> None:
    """Refuses a file of lines whose table, at `start`, names blocks that are not within it."""
    count = -(-height // _LINES.get(compression, 1))
    if start + 8 * count > len(data):
        raise ImageError("OpenEXR cut short or corrupt: its table of blocks does not end")
    for place in struct.unpack_from(f"<{count}Q", data, start):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if place < start + 8 * count or place + 8 + size > len(data):
            raise ImageError("OpenEXR cut short or corrupt: a block of lines is not within the file")
