"""TIFF to RGB: the first full picture of a file. tifffile finds it, `model.images.tiff_segments` reads its samples.

As in `model.images.formats`, exceptions are not handled here.
"""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np

from .. import imports
from ..errors import ImageError
from . import exif, fax, tiff_colours
from .formats import check_size
from .levels import AnyWindow, composed_on_white, from_16_bit, grey, ramp, stretched
from .tiff_codecs import JPEG, YCBCR
from .tiff_segments import read_samples

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _LAB, _ICC_LAB = 0, 1, 2, 3, 5, 8, 9
_COLOURS = {
    _WHITE_IS_ZERO: 1,
    _BLACK_IS_ZERO: 1,
    _RGB: 3,
    _PALETTE: 1,
    _SEPARATED: 4,
    YCBCR: 3,
    _LAB: 3,
    _ICC_LAB: 3,
}
"""PhotometricInterpretation that is read -> samples of its colour."""
_PREMULTIPLIED, _ALPHA = 1, 2
"""What the tag ExtraSamples calls the two kinds of alpha."""
_APERIO_YCBCR = 33003
_RAW = (32803, 34892)
"""CFA and LinearRaw: what a camera's sensor measured."""
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_PAGES = 64
"""Looked at for a full picture."""


def first_page(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """The first page that is neither a thumbnail nor a mask, as RGB, uint8 (height, width, 3), upright.

    Of a stack or volume, that is its first slice; of more samples than the colour has, those that are not alpha are
    left out. A window is applied to grey and RGB samples of 8 bits or more as they are stored, to all other pictures
    when they are RGB.

    Raises:
        ImageError: the page is too large, not all there, or of a kind that is not read.
    """
    with imports.tifffile().TiffFile(io.BytesIO(data)) as file:
        page = _full_picture(file)
        check_size(page.imagewidth, page.imagelength, max_pixels)
        photometric = _photometric(page)
        colours = _COLOURS[photometric]
        if page.samplesperpixel < colours:
            raise ImageError(
                f"TIFF cut short or corrupt: {page.samplesperpixel} samples a pixel, {colours} needed"
            )
        alpha, premultiplied = _alpha(page, colours)
        samples = read_samples(data, page, colours if alpha is None else alpha + 1)
        opacity = None if alpha is None else samples[..., alpha:]
        levels = _levels(samples[..., :colours], opacity, premultiplied, page, photometric, window)
        del samples, opacity
        levels = exif.upright(levels, _orientation(page))
    # Samples of 8 bits may still be those of the file, which is not to be written to.
    return np.require(levels, requirements=["C", "W"]) if levels.shape[2] == 3 else grey(levels[..., 0])


def _full_picture(file: Any) -> Any:
    """The first page that is no thumbnail or mask, or the first such that one in front of it keeps below itself."""
    for page in itertools.islice(file.pages, _PAGES):
        if not page.subfiletype & (_REDUCED | _MASK):
            return page
        for below in itertools.islice(page.pages or (), _PAGES):
            if not below.subfiletype & (_REDUCED | _MASK):
                return below
    return file.pages[0]


def _orientation(page: Any) -> int:
    """1 to 8; also of a tag that is of type BYTE, or has more than one value."""
    given = page.tags.valueof(274) or 1
    return int(given[0] if isinstance(given, bytes | tuple) else given)


def _photometric(page: Any) -> int:
    if 262 not in page.tags and page.compression not in JPEG:
        # As libtiff guesses where the tag is missing, which must not be.
        white_is_zero = page.compression in fax.NAMES
        return _RGB if page.samplesperpixel >= 3 else _WHITE_IS_ZERO if white_is_zero else _BLACK_IS_ZERO
    if page.photometric not in _COLOURS or (
        page.photometric == _SEPARATED and (page.tags.valueof(332) or 1) != 1
    ):
        if page.photometric in _RAW:
            raise ImageError("a raw photograph in a TIFF (DNG, NEF, ARW, ..), which is not supported")
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"TIFF whose samples are of the kind {name}, which is not supported")
    return int(page.photometric)


def _alpha(page: Any, colours: int) -> tuple[int | None, bool]:
    """The sample that is alpha, None if there is none, and whether colours are multiplied by it."""
    kinds = [int(kind) for kind in page.extrasamples]
    if 338 not in page.tags and page.samplesperpixel == colours + 1:
        kinds = [_ALPHA]
    places = [place for place, kind in enumerate(kinds) if kind in (_ALPHA, _PREMULTIPLIED)]
    if not places or colours + places[0] >= page.samplesperpixel:
        return None, False
    return colours + places[0], kinds[places[0]] == _PREMULTIPLIED


def _levels(
    samples: np.ndarray,
    opacity: np.ndarray | None,
    premultiplied: bool,
    page: Any,
    photometric: int,
    window: AnyWindow | None,
) -> np.ndarray:
    """Samples as they are stored to grey or RGB levels, uint8 (height, width, 1 or 3), alpha composited on white."""
    bits = page.bitspersample
    plain = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
    as_stored = window if plain and bits >= 8 else None
    if (
        as_stored
        and opacity is not None
        and photometric != _WHITE_IS_ZERO
        and samples.dtype in (np.uint8, np.uint16)
    ):
        samples = composed_on_white(samples, opacity, premultiplied=premultiplied)
        opacity = None
    if photometric == _PALETTE:
        levels = tiff_colours.by_palette(samples[..., 0], page.colormap)
    elif photometric in (_LAB, _ICC_LAB):
        levels = tiff_colours.from_lab(samples, signed=photometric == _LAB)
    else:
        levels = as_stored.apply(samples) if as_stored else _scaled(samples, bits)
    if photometric == _WHITE_IS_ZERO:
        levels = 255 - levels
    elif photometric == _SEPARATED:
        levels = tiff_colours.from_cmyk(levels)
    elif (photometric == YCBCR and page.compression not in JPEG) or page.compression == _APERIO_YCBCR:
        levels = tiff_colours.from_ycbcr(levels, page.tags.valueof(529), page.tags.valueof(532))
    if opacity is not None:
        levels = composed_on_white(levels, _opacity(opacity, bits), premultiplied=premultiplied)
    return window.apply(levels) if window and not as_stored else levels


def _scaled(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples to levels of their own fixed range, if they are unsigned and of 16 bits at most, else stretched."""
    if samples.dtype.kind not in "bu" or bits > 16:
        return stretched(samples)
    if bits == 16:
        return from_16_bit(samples)
    return ramp(samples, 0, 2**bits - 1) if bits != 8 else samples


def _opacity(samples: np.ndarray, bits: int) -> np.ndarray:
    """Alpha to levels: it has a fixed range in every type, of floats from 0 to 1."""
    if samples.dtype.kind in "bu" and bits <= 16:
        return _scaled(samples, bits)
    return ramp(samples, 0, 1 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max))
