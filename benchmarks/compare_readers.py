"""Decodes every image file of some folders, and by other libraries too, and tells where they differ.

A second reader is another library than ours for the format, or another program. A file is right if one of them agrees
to a mean difference of at most 6 grey levels. What we refuse and another reads needs a reason that is true: those
that name what the file is (`not supported`) are, all others are listed. HEIC, JPEG XL and DICOM have a second reader
where libheif-examples, libjxl-tools and dcmtk are installed.

    python -m benchmarks.compare_readers                  the image files of the installed packages
    python -m benchmarks.compare_readers FOLDER --gm gm    others; GraphicsMagick as one more reader
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import re
import resource
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageOps

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.signatures import format_of
from lookalike.model.memory_limit import limit_memory

ABOVE = 6.0
FORK = multiprocessing.get_context("fork")
MEMORY, SECONDS = 4 << 30, 60
SUFFIXES = re.compile(
    r"\.(jpe?g|jpe|jfif|mpo|a?png|gif|webp|avifs?|hei[cf]|hif|tiff?|bmp|dib|rle|jp[2cx]|j2[kc]|jxl|ico|cur|p[nbgpa]m|qoi|jls"
    r"|dcm|psd|psb|pcx|tga|svg|exr|hdr|dds|sgi|eps|ps|pdf|icns|xcf|wmf|emf|xpm|xbm|ras|fits?)$",
    re.IGNORECASE,
)
Reader = Callable[[bytes], np.ndarray]


@dataclass(frozen=True)
class Verdict:
    """What came of one file.

    Attributes:
        kind: same, differs, refused (another reads it), unread (nobody does), alone (only we do), died (the process
            did).
        detail: the least difference, or our reason.
    """

    path: Path
    format: str
    kind: str
    detail: str


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith(("I", "F")):
            return stretched(np.asarray(picture))
        picture = picture.convert("RGBA")
        return np.asarray(
            Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        )


def by_opencv(data: bytes) -> np.ndarray:
    buffer = np.frombuffer(data, np.uint8)
    picture = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("not read")
    if picture.ndim == 2 or picture.shape[2] < 4:  # with the orientation of EXIF, which UNCHANGED leaves out
        picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return on_white(np.concatenate([picture[..., 2::-1], picture[..., 3:]], axis=-1))


def by_imagecodecs(name: str) -> Reader:
    def read(data: bytes) -> np.ndarray:
        samples = getattr(imagecodecs, f"{name}_decode")(data)
        if samples.dtype == np.uint16 and samples.max() < 4096:
            samples = samples << 4  # the 12 bits of JPEG
        return on_white(samples)

    return read


def by_graphicsmagick(program: str) -> Reader:
    def read(data: bytes) -> np.ndarray:
        options = ["convert", "-auto-orient", "-background", "white", "-extent", "0x0", "-[0]", "ppm:-"]
        done = subprocess.run([program, *options], input=data, capture_output=True, timeout=60, check=True)
        return by_pillow(done.stdout)

    return read


def by_program(name: str, suffix: str, *options: str) -> Reader:
    """A program that is given a file of this suffix and the PNG to write."""

    def read(data: bytes) -> np.ndarray:
        if not shutil.which(name):
            raise ValueError("not installed")
        with tempfile.TemporaryDirectory() as folder:
            source, written = Path(folder, f"in{suffix}"), Path(folder, "out.png")
            source.write_bytes(data)
            command = [name, *options, str(source), str(written)]
            subprocess.run(command, capture_output=True, timeout=60, check=True)
            return by_pillow(written.read_bytes())

    return read


def stretched(samples: np.ndarray) -> np.ndarray:
    if samples.dtype == np.uint16:
        levels = samples / 257
    else:
        values = np.nan_to_num(samples.astype(np.float64))
        levels = (values - values.min()) * (255 / max(float(np.ptp(values)), 1e-12))
    return np.repeat(levels[..., None], 3, axis=-1)


def on_white(samples: np.ndarray) -> np.ndarray:
    if samples.ndim == 2:
        return stretched(samples) if samples.dtype != np.uint8 else np.repeat(samples[..., None], 3, axis=-1)
    if samples.ndim == 4:
        samples = samples[0]
    levels = samples / (np.iinfo(samples.dtype).max / 255) if samples.dtype.kind == "u" else samples * 255.0
    if levels.shape[2] in (2, 4):
        alpha = levels[..., -1:] / 255
        levels = levels[..., :-1] * alpha + 255 * (1 - alpha)
    return np.broadcast_to(levels, (*levels.shape[:2], 3))


OTHERS: dict[str, tuple[Reader, ...]] = {
    "JPEG": (by_pillow, by_opencv, by_imagecodecs("jpeg8"), by_imagecodecs("jpegls")),
    "PNG": (by_pillow, by_opencv),
    "WebP": (by_opencv, by_imagecodecs("webp"), by_pillow),  # of these only Pillow tells EXIF
    "GIF": (by_imagecodecs("gif"), by_opencv),
    "BMP": (by_pillow, by_opencv),
    "TIFF": (by_pillow, by_opencv, by_imagecodecs("tiff")),
    "AVIF": (by_imagecodecs("avif"),),
    "HEIC": (by_program("heif-convert", ".heic"),),
    "JPEG 2000": (by_pillow, by_imagecodecs("jpeg2k"), by_opencv),
    "JPEG XL": (by_program("djxl", ".jxl"),),
    "DICOM": (by_program("dcmj2pnm", ".dcm", "+Wm", "+on"),),
    "PNM": (by_opencv,),
    "ICO": (),
    "QOI": (by_imagecodecs("qoi"),),
}


def examine(path: Path, more: tuple[Reader, ...] = ()) -> Verdict:
    data = path.read_bytes()
    try:
        name = format_of(data)
    except ImageError:
        name = "another"
    try:
        ours, reason = decode(data).pixels, ""
    except ImageError as error:
        ours, reason = None, str(error)
    found, least = [], np.inf
    for read in (*OTHERS.get(name, (by_pillow, by_opencv)), *more):
        other = attempt(read, data)
        if other is None:
            continue
        if ours is None:
            return Verdict(path, name, "refused", reason)
        found.append(other.shape[:2])
        if other.shape == ours.shape:
            least = min(least, float(np.abs(ours - other.astype(float)).mean()))
        if least <= ABOVE:
            return Verdict(path, name, "same", f"{least:.1f}")
    if found:
        return Verdict(path, name, "differs", f"{least:.1f}: {ours.shape[:2]}, others {found}")
    return Verdict(path, name, "unread" if ours is None else "alone", reason)


def apart(path: Path, more: tuple[Reader, ...] = ()) -> Verdict:
    """As `examine`, in a process of its own: a library may crash, hang or take all memory."""
    receiver, sender = FORK.Pipe(duplex=False)

    def run() -> None:
        limit_memory(MEMORY)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        sender.send(examine(path, more))

    process = FORK.Process(target=run)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return Verdict(path, "another", "died", f"exit {process.exitcode}")


def attempt(read: Reader, data: bytes) -> np.ndarray | None:
    try:
        return read(data)
    except Exception:  # whatever another library raises
        return None


def is_explained(verdict: Verdict) -> bool:
    """Whether a refusal is of what the file truly is: a kind that we name, or more pixels than the limit."""
    return verdict.kind == "refused" and any(
        words in verdict.detail for words in ("not supported", "more than the limit", "instead of an image")
    )


def unexplained(verdicts: list[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.kind in ("differs", "refused", "died") and not is_explained(v)]


def files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (
            path for path in sorted(folder.rglob("*")) if SUFFIXES.search(path.name) and path.is_file()
        )


def table(verdicts: list[Verdict]) -> str:
    kinds = ("same", "differs", "refused", "explained", "unread", "alone", "died")
    counts = Counter((v.format, "explained" if is_explained(v) else v.kind) for v in verdicts)
    rows = [" ".join([f"{'format':<10}", *(f"{kind:>9}" for kind in kinds)])]
    for name in sorted({v.format for v in verdicts}):
        rows.append(" ".join([f"{name:<10}", *(f"{counts[name, kind]:>9}" for kind in kinds)]))
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(sysconfig.get_path("purelib"))])
    parser.add_argument("--gm", default="", help="the program of GraphicsMagick")
    parser.add_argument("--list", default="differs,refused,died", help="kinds to list, with commas")
    options = parser.parse_args()
    more = (by_graphicsmagick(options.gm),) if options.gm else ()
    verdicts = []
    for path in files(options.folders):
        verdict = apart(path, more)
        verdicts.append(verdict)
        if verdict.kind in options.list.split(",") and not is_explained(verdict):
            print(f"{verdict.kind:<8} {verdict.format:<9} {path}: {verdict.detail}", flush=True)
    print(table(verdicts))
    print(f"{len(verdicts)} files, {len(unexplained(verdicts))} unexplained")


if __name__ == "__main__":
    main()
