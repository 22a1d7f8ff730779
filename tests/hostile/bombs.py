"""Small files that ask for gigabytes, or for the end of the process."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

GIB = 1 << 30
_STEP = 1 << 24
TOO_MANY = 20_000
"""Pixels across and down of pictures that are refused by their header."""


def chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
    """A chunk of PNG, which may claim another length than it has."""
    body = name + data
    return (
        struct.pack(">I", len(data) if length is None else length)
        + body
        + struct.pack(">I", zlib.crc32(body))
    )


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A grey PNG whose pixels are all black, with chunks before them."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(width + 1)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _deflated_zeros(size: int) -> bytes:
    """Raw deflate data of `size` zeros, a multiple of 16 MiB, that more may follow: one block again and again."""
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(bytes(_STEP))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(_STEP)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // _STEP)


def _zlib_of_zeros(size: int) -> bytes:
    sum_of_lengths = size % 65521  # Adler-32 of zeros
    return b"\x78\xda" + _deflated_zeros(size) + b"\x03\0" + struct.pack(">HH", sum_of_lengths, 1)


def png_text_that_claims_a_gibibyte() -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
        + chunk(b"tEXt", b"", GIB)
    )


def png_text_that_inflates_to_a_gibibyte() -> bytes:
    return png(8, 8, chunk(b"zTXt", b"Comment\0\0" + _zlib_of_zeros(GIB)))[:-20]


def png_beyond_the_limit() -> bytes:
    return png(TOO_MANY, TOO_MANY)


def gif_beyond_the_limit() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"," + bytes(9)


def tiff_of_one_huge_tile() -> bytes:
    """8 x 8 pixels, in one tile of 60,000 x 60,000, deflated."""
    data = _zlib_of_zeros(208 << 20)
    tags = [(256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (277, 1), (322, 60_000), (323, 60_000)]
    tags += [(324, 0), (325, len(data))]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, start if tag == 324 else value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4) + data


def jpeg_of_many_scans() -> bytes:
    """A progressive JPEG of 9,000 x 9,000 black pixels whose last scan comes two thousand times."""
    stream = io.BytesIO()
    Image.new("L", (9_000, 9_000)).save(stream, "JPEG", progressive=True, quality=50)
    data = stream.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * 2_000 + b"\xff\xd9"


def _dicom(syntax: str, rows: int, columns: int) -> tuple[Any, io.BytesIO]:
    import pydicom

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    return dataset, io.BytesIO()


def dicom_that_inflates_to_three_gibibytes() -> bytes:
    """Deflated DICOM of 8 x 8 pixels with a private element of 3 GiB of zeros before them."""
    dataset, stream = _dicom("1.2.840.10008.1.2.1.99", 8, 8)
    dataset.PixelData = bytes(128)
    dataset["PixelData"].VR = "OW"
    dataset.save_as(stream, enforce_file_format=True)
    whole = stream.getvalue()
    meta = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    elements = zlib.decompress(whole[meta:], wbits=-15)
    huge = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 3 * GIB)
    packer = zlib.compressobj(9, wbits=-15)
    picture = elements.find(struct.pack("<HH", 0x0028, 0x0002))
    packer = zlib.compressobj(9, wbits=-15)
    before = packer.compress(elements[:picture] + huge) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    after = packer.compress(elements[picture:]) + packer.flush()
    return whole[:meta] + before + _deflated_zeros(3 * GIB) + after


def rle_dicom_of_100_megapixels() -> bytes:
    """Allowed by the limit of pixels: 10,000 x 10,000 of 16 bits, run-length encoded."""
    import pydicom

    dataset, stream = _dicom("1.2.840.10008.1.2.5", 10_000, 10_000)
    runs = b"\x81\x07" * (10_000 * 10_000 // 128)
    rest = 10_000 * 10_000 % 128
    runs += bytes([257 - rest, 7]) if rest > 1 else b""
    runs += b"\0" * (len(runs) % 2)
    header = struct.pack("<16I", 2, 64, 64 + len(runs), *[0] * 13)
    dataset.PixelData = pydicom.encaps.encapsulate([header + runs + runs])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "text_claims.png": png_text_that_claims_a_gibibyte,
    "text_inflates.png": png_text_that_inflates_to_a_gibibyte,
    "too_large.png": png_beyond_the_limit,
    "too_large.gif": gif_beyond_the_limit,
    "huge_tile.tif": tiff_of_one_huge_tile,
    "many_scans.jpg": jpeg_of_many_scans,
    "inflates.dcm": dicom_that_inflates_to_three_gibibytes,
}
"""File name -> a picture that ends as one reject."""
ALLOWED: dict[str, Callable[[], bytes]] = {"rle.dcm": rle_dicom_of_100_megapixels}
"""File name -> a picture that is large, and within every limit."""


def sparse_file(path: Path, size: int = 3 * GIB) -> None:
    """A JPEG by its first bytes, and then a hole."""
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0\0\x10JFIF\0")
        file.truncate(size)


def tar_with_a_huge_member(path: Path, good: bytes, size: int = 3 * GIB) -> None:
    """A good picture, a member of zeros that gzip packs a thousandfold, and a good picture behind it."""
    archive, sizes = io.BytesIO(), {"a.jpg": len(good), "b.jpg": size, "c.jpg": len(good)}
    for name, length in sizes.items():
        member = tarfile.TarInfo(name)
        member.size = length
        content = b"" if name == "b.jpg" else good + bytes(-len(good) % 512)
        archive.write(member.tobuf(tarfile.USTAR_FORMAT) + content)
    data = archive.getvalue()
    cut = 512 + len(good) + -len(good) % 512 + 512
    parts = [data[:cut], data[cut:] + bytes(1024)]
    checksum = zlib.crc32(parts[0])
    for _ in range(size // _STEP):
        checksum = zlib.crc32(bytes(_STEP), checksum)
    checksum = zlib.crc32(parts[1], checksum)
    before, after = (zlib.compressobj(9, wbits=-15) for _ in parts)
    packed = before.compress(parts[0]) + before.flush(zlib.Z_FULL_FLUSH) + _deflated_zeros(size)
    packed += after.compress(parts[1]) + after.flush()
    head = b"\x1f\x8b\x08" + bytes(5) + b"\x02\xff"
    path.write_bytes(head + packed + struct.pack("<II", checksum, (sum(map(len, parts)) + size) % (1 << 32)))


def parquet_of_one_value(path: Path, rows: int = 2_000, size: int = 8 << 20) -> None:
    """A dictionary of one value of zeros, which every row names: 16 GiB in 10 kB."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([bytes(size)]))
    table = pa.table({"id": [f"row{i}" for i in range(rows)], "image": column})
    options = {"compression": "zstd", "use_dictionary": ["image"], "row_group_size": rows}
    pq.write_table(table, path, store_schema=False, **options)
