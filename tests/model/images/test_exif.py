"""exif: the orientation as any camera writes it, from EXIF and from nothing else."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

from lookalike.model.images.decode import decode
from lookalike.model.images.exif import orientation
from tests.support.image_files import HEIGHT, RGB, WIDTH, saved


def block(value: int, *, order: str = "<", kind: int = 3, before: int = 0) -> bytes:
    """EXIF of `before` other entries and an orientation."""
    entries = [struct.pack(f"{order}HHII", 0x100 + n, 4, 1, 9) for n in range(before)]
    values = {1: struct.pack("Bxxx", value), 3: struct.pack(f"{order}Hxx", value)}
    data = values.get(kind, struct.pack(f"{order}I", value))
    entries.append(struct.pack(f"{order}HHI", 0x0112, kind, 1) + data)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\xff"])
def test_an_orientation_is_read_in_either_order_and_any_width(order: str, kind: int, prefix: bytes) -> None:
    for value in range(1, 9):
        assert orientation(prefix + block(value, order=order, kind=kind, before=value)) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"Exif\0\0", b"II*\0", block(0), block(9), block(6)[:20], block(6, kind=7), b"\xff" * 40],
    ids=["none", "prefix", "no directory", "0", "9", "cut", "another type", "nonsense"],
)
def test_what_cannot_be_read_is_upright(data: bytes) -> None:
    assert orientation(data) == 1


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("with_exif", [False, True])
def test_an_orientation_in_xmp_counts_in_no_format(form: str, with_exif: bool) -> None:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    options: dict[str, object] = {"pnginfo": text} if form == "PNG" else {"xmp": XMP}
    if with_exif:
        options["exif"] = b"Exif\0\0" + block(3)
    data = saved(RGB, form, **options)
    assert b"Orientation" in data
    assert Pil.open(io.BytesIO(data)).getexif().get(0x0112) == (3 if with_exif else 6)
    image = decode(data)
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    # Red is top left, or by EXIF turned to bottom right.
    assert np.argmax(image.pixels[-3, -3] if with_exif else image.pixels[3, 3]) == 0
