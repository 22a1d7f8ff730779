"""signatures: what a file is, from a sample of each kind; never "corrupt" for what is sound."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tarfile
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images import decode, signatures
from lookalike.model.images.signatures import format_of
from tests.support.image_files import FILES, RGB, saved


def zipped(*names: str, first: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        if first:
            archive.writestr("mimetype", first)
        for name in names:
            archive.writestr(name, b"content")
    return stream.getvalue()


def sound() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(400))
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(9))
    return stream.getvalue()


def media(brand: bytes, *others: bytes) -> bytes:
    brands = brand + bytes(4) + b"".join(others)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + b"\0\0\0\x10mdat" + bytes(8)


SVG = b'<?xml version="1.0"?>\n<!-- by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'
PAGE = "<!-- cached --><html><title>Zug\xe4nge</title>"
SAMPLES = {
    "a PCX file": saved(RGB, "PCX"),
    "a Targa file (TGA)": saved(RGB, "TGA"),
    "a DirectDraw surface (DDS)": saved(RGB, "DDS"),
    "an X bitmap (XBM)": saved(RGB.convert("1"), "XBM"),
    "an Amiga picture (ILBM)": b"FORM\0\0\1\0ILBMBMHD" + bytes(20),
    "a sound file (AIFF)": b"FORM\0\0\1\0AIFFCOMM" + bytes(20),
    "a DICOM file without its preamble": b"\x08\0\5\0CS\x0a\0ISO_IR 100" + bytes(20),
    "an Apple icon (ICNS)": saved(RGB.resize((64, 64)), "ICNS"),
    "an SGI file": saved(RGB, "SGI"),
    "a PDF document": saved(RGB, "PDF"),
    "a PostScript file (EPS)": saved(RGB, "EPS"),
    "a sound file (WAV)": sound(),
    "a tar archive": tar(),
    "a NumPy array": npy(),
    "a gzip archive": gzip.compress(b"text"),
    "a ZIP archive": zipped("a.txt"),
    "a Word document": zipped("[Content_Types].xml", "word/document.xml"),
    "an Excel document": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "an OpenDocument file": zipped("content.xml", first="application/vnd.oasis.opendocument.text"),
    "a layered drawing (OpenRaster or Krita)": zipped("a", first="image/openraster"),
    "an SVG drawing": SVG,
    "a video (MP4, 'isom')": media(b"isom", b"isom", b"avc1"),
    "a video (QuickTime)": media(b"qt  "),
    "a sound file (MP4)": media(b"M4A "),
    "a Canon raw photograph (CR3)": media(b"crx ", b"crx ", b"isom"),
    "a Canon raw photograph (CR2)": b"II*\0\x10\0\0\0CR\2\0",
    "a wireless bitmap (WBMP)": b"\0\0\x0a\3" + bytes(5) + b"\1",
    "a JPEG with 5 other bytes before it": b"\r\n\xef\xbb\xbf" + FILES["jpeg"][0],
}
INSTEAD = {
    "empty file": b"",
    "nothing but zero bytes": bytes(100),
    "an HTML page instead of an image": b"\xef\xbb\xbf\n<!DOCTYPE html><title>404",
    "an XML document instead of an image": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "a JSON document instead of an image": json.dumps({"error": ["no such key"]}).encode(),
    "a Git LFS pointer instead of the image itself": b"version https://git-lfs.github.com/spec/v1\noid sha256:",
    "text instead of an image: it starts with 'hello world, I a'": b"hello world, I am text",
    "text instead of an image: it starts with 'BMW is a maker o'": b"BMW is a maker of cars and motorcycles",
    "text instead of an image: it starts with 'Caf\xe9'": "Caf\xe9".encode("utf-16"),
    "white space instead of an image": b"\r\n \t",
    "no format that is known: it starts with the bytes 00 01 02 03 04": b"\0\1\2\3\4",
    "no format that is known: it starts with the bytes 53 4f 4d 45 00": b"SOME\0",
}


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode.decode(data)
    return str(caught.value)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_of_another_kind_is_called_by_its_name(name: str) -> None:
    assert reason(SAMPLES[name]) == f"{name}, which is not supported"


@pytest.mark.parametrize("sentence", INSTEAD)
def test_what_is_no_file_of_a_picture_is_told(sentence: str) -> None:
    assert reason(INSTEAD[sentence]) == sentence


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_pages_are_told_in_any_encoding(encoding: str) -> None:
    assert reason(PAGE.encode(encoding)) == "an HTML page instead of an image"


def test_a_database_is_told(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table a (b)")
    assert reason((tmp_path / "a.db").read_bytes()) == "an SQLite database, which is not supported"


def test_every_signature_is_found() -> None:
    for name, at, starts in signatures._NOT_READ:
        for start in starts:
            head = (b"RIFF" if at == 8 else b"").ljust(at, b"\1")
            assert reason(head + start + bytes(400)) == f"{name}, which is not supported", start


@pytest.mark.parametrize("name", FILES)
def test_every_format_that_is_read_is_told_by_its_bytes(name: str) -> None:
    told = format_of(FILES[name][0])
    assert told.lower() == name.split()[0]
    assert told in decode.DECODERS


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("compression", [None, "tga_rle"])
def test_a_targa_file_without_its_signature_is_told(mode: str, compression: str | None) -> None:
    data = saved(RGB.convert(mode), "TGA", compression=compression)
    assert data[-18:-2] == b"TRUEVISION-XFILE"
    assert reason(data[:-26]) == "a Targa file (TGA), which is not supported"


def test_several_brands_make_the_format() -> None:
    assert format_of(media(b"mif1", b"mif1", b"avif")) == "AVIF"
    assert format_of(media(b"mif1", b"mif1", b"heic")) == "HEIC"
    assert format_of(media(b"heic")) == "HEIC"


def test_two_letters_do_not_make_a_bitmap() -> None:
    assert format_of(saved(Pil.new("L", (3, 3)), "BMP")) == "BMP"
    unusual = bytearray(saved(Pil.new("L", (3, 3)), "BMP"))
    unusual[14:16] = b"\x58\4"
    assert reason(bytes(unusual)) == "a BMP with a header of its own, which is not supported"
    assert reason(b"A site: WEBP pictures and AVI files").startswith("text instead of an image")
    assert reason(b"BM" + bytes(range(1, 40))).startswith("no format that is known")
