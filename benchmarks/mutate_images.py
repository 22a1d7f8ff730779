"""Damages image files of every format and decodes them in child processes: who crashes, hangs or takes memory?

Damage is: bits flipped, bytes overwritten, cut off, cut out and repeated, pieces of other files put in, fields set to
extremes; of PNG half of the checksums are made right again. `decode_common` may do none of the three, whatever it is
given; what `decode_rare` does is bounded by the process it runs in.

    python -m benchmarks.mutate_images --count 10000
    python -m benchmarks.mutate_images --count 10000 --only common
    python -m benchmarks.mutate_images --count 100000 --write FOLDER      the damaged files themselves
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import resource
import signal
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pydicom
import pydicom.encaps
import pydicom.pixels.encoders
from PIL import Image

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode, decode_common
from tests.support.image_files import FILES, photograph, saved

FORK = multiprocessing.get_context("fork")
SECONDS, MEMORY = 20, 1 << 30
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MAX_PIXELS = 10_000_000


def samples() -> dict[str, bytes]:
    """A small file of each format and of each process within it."""
    pixels = photograph(48, 64)
    grey, picture = np.ascontiguousarray(pixels[..., 0]), Image.fromarray(pixels)
    heic = io.BytesIO()
    pillow_heif.from_pillow(picture).save(heic, quality=60)
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    return {name: data for name, (data, _) in FILES.items()} | {
        "jpeg photograph": saved(picture, "JPEG", exif=exif),
        "jpeg restart": saved(picture, "JPEG", restart_marker_blocks=2),
        "jpeg lossless": imagecodecs.jpeg8_encode(pixels, lossless=True),
        "jpeg lossless grey": imagecodecs.jpeg8_encode(grey, lossless=True),
        "jpeg 12 bit": imagecodecs.jpeg8_encode(grey.astype(np.uint16) << 4, bitspersample=12),
        "jpeg-ls": imagecodecs.jpegls_encode(pixels),
        "png photograph": saved(picture, "PNG", exif=exif),
        "png grey": saved(Image.fromarray(grey), "PNG", bits=4),
        "png alpha": saved(picture.convert("RGBA"), "PNG"),
        "webp photograph": saved(picture.convert("RGBA"), "WEBP", exif=exif),
        "heic": heic.getvalue(),
        "jpeg xl": imagecodecs.jpegxl_encode(pixels),
        "jpeg xl lossless": imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=True),
        "jpeg 2000": imagecodecs.jpeg2k_encode(pixels, level=30),
        "jpeg 2000 deep": imagecodecs.jpeg2k_encode(
            pixels.astype(np.uint16) << 8, level=30, codecformat="j2k"
        ),
        "bmp masks": bitmap(64, 48, 16, 3, struct.pack("<3I", 0xF800, 0x7E0, 0x1F) + bytes(64 * 48 * 2)),
        "bmp rle": bitmap(64, 48, 8, 1, bytes(1024) + b"\x40\7\0\0" * 40 + b"\0\4abcd\0\2\1\1\0\1"),
        "ico": saved(picture, "ICO", sizes=[(32, 32)]),
        "ico bmp": saved(picture, "ICO", sizes=[(32, 32)], bitmap_format="bmp"),
        "pnm": saved(picture, "PPM"),
        "qoi": imagecodecs.qoi_encode(pixels),
        "open exr": open_exr(pixels),
        **{f"dicom {kind}": dicom(kind, pixels) for kind in ("raw", "rle", "jpeg", "jpeg-ls", "jpeg 2000")},
    }


def open_exr(pixels: np.ndarray) -> bytes:
    """Without compression, a line of pixels in each block."""
    height, width, _ = pixels.shape
    listed = b"".join(b"%c\0" % name + struct.pack("<iBxxxii", 2, 0, 1, 1) for name in b"BGR") + b"\0"
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = {b"channels\0chlist": listed, b"compression\0compression": b"\0", b"dataWindow\0box2i": box}
    attributes |= {b"displayWindow\0box2i": box, b"lineOrder\0lineOrder": b"\0"}
    attributes |= {b"pixelAspectRatio\0float": struct.pack("<f", 1), b"screenWindowCenter\0v2f": bytes(8)}
    attributes |= {b"screenWindowWidth\0float": struct.pack("<f", 1)}
    head = struct.pack("<II", 20000630, 2)
    head += b"".join(
        name + b"\0" + struct.pack("<I", len(value)) + value for name, value in attributes.items()
    )
    lines = np.ascontiguousarray(pixels[:, :, ::-1].transpose(0, 2, 1), np.float32) / 255
    blocks = [struct.pack("<ii", y, lines[y].nbytes) + lines[y].tobytes() for y in range(height)]
    first = len(head) + 1 + 8 * height
    places = [first + y * len(blocks[0]) for y in range(height)]
    return head + b"\0" + struct.pack(f"<{height}Q", *places) + b"".join(blocks)


def dicom(kind: str, pixels: np.ndarray) -> bytes:
    """Grey of 8 bits; by its transfer syntax."""
    grey = np.ascontiguousarray(pixels[..., 0])
    syntax = {"raw": "1", "rle": "5", "jpeg": "4.50", "jpeg-ls": "4.80", "jpeg 2000": "4.90"}[kind]
    encoded = {
        "jpeg": lambda: imagecodecs.jpeg8_encode(grey),
        "jpeg-ls": lambda: imagecodecs.jpegls_encode(grey),
        "jpeg 2000": lambda: imagecodecs.jpeg2k_encode(grey, codecformat="j2k"),
        "rle": lambda: pydicom.pixels.encoders.RLELosslessEncoder.encode(grey, **described),
    }
    dataset = pydicom.Dataset()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *grey.shape, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
    described = {"rows": grey.shape[0], "columns": grey.shape[1], "samples_per_pixel": 1, "bits_allocated": 8}
    described |= {"bits_stored": 8, "photometric_interpretation": "MONOCHROME2", "pixel_representation": 0}
    described |= {"number_of_frames": 1}
    value = grey.tobytes() if kind == "raw" else pydicom.encaps.encapsulate([bytes(encoded[kind]())])
    dataset.PixelData = value
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = kind != "raw"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def bitmap(width: int, height: int, bits: int, compression: int, rest: bytes) -> bytes:
    before = {3: 12, 1: 1024}[compression]
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(rest), 0, 0, 54 + before) + head + rest


def mutants(count: int, seed: int, only: str = "") -> Iterator[tuple[str, bytes]]:
    """Name of the file it was and damaged bytes, `count` times; the same for the same seed."""
    random = np.random.default_rng(seed)
    files = samples()
    names = [name for name in files if only in name]
    others = list(files.values())
    for _ in range(count):
        name = names[random.integers(len(names))]
        data = bytearray(files[name])
        for _ in range(random.integers(1, 3)):
            damage = DAMAGES[random.integers(len(DAMAGES))]
            data = damage(data, random, others)
        if name.startswith("png") and random.random() < 0.5:
            data = checksummed(data)
        yield name, bytes(data)


Damage = Callable[[bytearray, np.random.Generator, list[bytes]], bytearray]


def place(data: bytearray, random: np.random.Generator) -> int:
    """Somewhere, as often as not in the first 200 bytes, where the headers are."""
    return int(random.integers(1 + min(len(data), 200 if random.random() < 0.5 else len(data))))


def flipped(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    for _ in range(random.integers(1, 9)):
        at = place(data, random)
        data[at : at + 1] = bytes(byte ^ 1 << int(random.integers(8)) for byte in data[at : at + 1])
    return data


def overwritten(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    at, length = place(data, random), int(random.integers(1, 30))
    data[at : at + length] = random.bytes(len(data[at : at + length]))
    return data


def extreme(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    width, at = int(random.choice([1, 2, 4])), place(data, random)
    value = EXTREMES[random.integers(len(EXTREMES))] & (256**width - 1)
    data[at : at + width] = value.to_bytes(width, "big" if random.random() < 0.5 else "little")
    return data


def cut(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    return data[: int(random.integers(1 + len(data)))]


def holed(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    at = place(data, random)
    del data[at : at + int(random.integers(1, 1 + max(1, len(data) // 4)))]
    return data


def repeated(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    start, at = place(data, random), place(data, random)
    data[at:at] = data[start : start + int(random.integers(1, 200))] * int(random.choice([1, 2, 50, 2000]))
    return data


def spliced(data: bytearray, random: np.random.Generator, others: list[bytes]) -> bytearray:
    other = bytearray(others[random.integers(len(others))])
    start, at, length = place(other, random), place(data, random), int(random.integers(1, 400))
    data[at : at + (length if random.random() < 0.5 else 0)] = other[start : start + length]
    return data


DAMAGES: tuple[Damage, ...] = (flipped, overwritten, extreme, cut, holed, repeated, spliced)


def checksummed(data: bytearray) -> bytearray:
    """PNG with the right checksum wherever there is a chunk."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


def outcome(data: bytes, common: bool, min_side: int | None) -> str:
    """read, refused, memory, None of `decode_common` as rare, or the error that should not have been."""
    try:
        image = (decode_common if common else decode)(
            data, max_pixels=MAX_PIXELS, min_side=min_side, window=None
        )
    except ImageError as error:
        return "memory" if "not enough memory" in str(error) else "refused"
    except MemoryError:
        return "memory"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return "rare" if image is None else "read"


def serve(connection: Connection, common: bool) -> None:
    """Child: an outcome for each file that comes, as long as it lives."""
    decode(FILES["png"][0])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        data, min_side = connection.recv()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of CPU; its signal ends the process
        connection.send(outcome(data, common, min_side))
        signal.setitimer(signal.ITIMER_PROF, 0)


class Child:
    """A process that decodes, replaced when it dies."""

    def __init__(self, common: bool) -> None:
        self.common = common
        self._start()

    def _start(self) -> None:
        self.connection, other = FORK.Pipe()
        self.process = FORK.Process(target=serve, args=(other, self.common), daemon=True)
        self.process.start()
        other.close()

    def outcome(self, data: bytes, min_side: int | None) -> str:
        try:
            self.connection.send((data, min_side))
            return str(self.connection.recv())
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            self._start()
            return "hang" if code == -signal.SIGPROF else f"crash ({code})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="only files whose name holds this text")
    parser.add_argument("--only", choices=("common",), help="by decode_common alone")
    parser.add_argument("--write", type=Path, help="write the damaged files here, and decode nothing")
    parser.add_argument(
        "--keep", type=Path, help="where to write files that crash, hang, take memory or raise"
    )
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    child = None if options.write else Child(options.only == "common")
    for folder in (options.write, options.keep):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for number, (name, data) in enumerate(mutants(options.count, options.seed, options.name)):
        if child is None:
            (options.write / f"{number:06}").write_bytes(data)
            continue
        found = child.outcome(data, (None, 8, 100)[number % 3])
        kind = found.split(" ")[0]
        counts[name, kind] += 1
        if kind not in ("read", "refused", "rare"):
            print(f"{number} {name}: {found}", flush=True)
            if options.keep:
                (options.keep / f"{options.seed}-{number}-{name.replace(' ', '-')}-{kind}").write_bytes(data)
    kinds = ("read", "refused", "rare", "memory", "hang", "crash", "raised")
    print(" ".join([f"{'file':<20}", *(f"{kind:>8}" for kind in kinds)]))
    for name in sorted({name for name, _ in counts}):
        print(" ".join([f"{name:<20}", *(f"{counts[name, kind]:>8}" for kind in kinds)]))
    print(f"{options.count} files in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
