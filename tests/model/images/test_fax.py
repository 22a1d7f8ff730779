"""Fax strips: every kind of them, and that what is cut off or damaged is refused, never made up."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images import fax

ROWS, WIDTH = 60, 131
KINDS = [(2, 0), (3, 0), (3, 1), (3, 4), (3, 5), (4, 0)]
"""Compression and T4Options."""


def page(last: bool) -> np.ndarray:
    """bool (60, 131): noise beside white, a black row, and last rows that are all one."""
    bits = np.random.default_rng(0).random((ROWS, WIDTH)) < 0.5
    bits[:, :40], bits[5], bits[-5:] = True, False, last
    return bits


def strip(bits: np.ndarray, compression: int, options: int) -> bytes:
    stream = io.BytesIO()
    tags = {262: 1, 278: len(bits), **({292: options} if compression == 3 else {})}
    Pil.fromarray(bits).save(stream, "TIFF", compression=fax.NAMES[compression], tiffinfo=tags)
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
        (offset,), (length,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    return stream.getvalue()[offset : offset + length]


@pytest.mark.parametrize(("compression", "options"), KINDS)
@pytest.mark.parametrize("last", [False, True])
def test_every_kind_is_read(compression: int, options: int, last: bool) -> None:
    bits = page(last)
    data = strip(bits, compression, options)
    assert np.array_equal(fax.decode(data, fax.Strip(WIDTH, ROWS, compression, options)), bits)


@pytest.mark.parametrize(("compression", "options"), KINDS)
@pytest.mark.parametrize("last", [False, True])
def test_a_strip_that_is_cut_is_refused(compression: int, options: int, last: bool) -> None:
    data = strip(page(last), compression, options)
    for kept in range(1, len(data) - 6, 23):
        with pytest.raises((ImageError, OSError)):
            fax.decode(data[:kept], fax.Strip(WIDTH, ROWS, compression, options))


@pytest.mark.parametrize(("compression", "options"), KINDS)
def test_a_strip_of_fewer_rows_than_are_asked_for_is_refused(compression: int, options: int) -> None:
    data = strip(page(True), compression, options)
    with pytest.raises((ImageError, OSError)):
        fax.decode(
            data, fax.Strip(WIDTH, ROWS + 2, compression, options)
        )  # one row libtiff takes as white at the end


@pytest.mark.parametrize(("compression", "options"), KINDS)
def test_damage_is_refused_or_read_the_same_each_time(compression: int, options: int) -> None:
    noise = np.random.default_rng(1)
    data = strip(page(True), compression, options)
    for _ in range(20):
        damaged = bytearray(data)
        damaged[noise.integers(len(data))] ^= int(noise.integers(1, 256))
        results = []
        for _ in range(2):
            # What is free now is what the next decode is given.
            np.full((3 * ROWS, WIDTH), noise.integers(0, 2), np.uint8)
            try:
                results.append(
                    fax.decode(bytes(damaged), fax.Strip(WIDTH, ROWS, compression, options)).tobytes()
                )
            except (ImageError, OSError):
                results.append(None)
        assert results[0] == results[1]
