"""The demo's catalogue: photographs found, views of them written to a folder, broken files among them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from lookalike.model.cores import cores
from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.extras import install

from ..sources import folder
from ..sources.base import IMAGE_EXTENSIONS
from ..sources.fields import escape
from ..sources.walk import list_corpus
from .views import broken_files, open_photograph, views

MOST_PHOTOGRAPHS = 200
QUERY_VIEWS = 8
BROKEN = "broken"
IMAGES, QUERIES, ROWS = "images", "queries", "photos.jsonl"
"""What is written: the catalogue, the queries, and which photograph each image of the catalogue shows."""

# What else lies there is drawn (chessboard, horse, logo), a handful of pixels, or a second picture of the same
# scene (motorcycle_right).
_PHOTOGRAPHS = {
    "skimage/data": (
        "astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png coins.png grass.png "
        "gravel.png hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg "
        "text.png"
    ),
    "sklearn/datasets/images": "china.jpg flower.jpg",
}


def built_in_photographs() -> dict[str, Path]:
    """Name -> file of the photographs inside the wheels of scikit-image and scikit-learn; imports neither.

    Raises:
        LookalikeError: if one of the two is not installed.
    """
    found: dict[str, Path] = {}
    for place, names in _PHOTOGRAPHS.items():
        package, _, below = place.partition("/")
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise LookalikeError(
                f"The photographs of the demo come with scikit-image and scikit-learn. Expected both to be "
                f"installed ({install('demo')}), or --images FOLDER. Received: no {package}"
            )
        found |= {name.rpartition(".")[0]: Path(spec.origin).parent / below / name for name in names.split()}
    return dict(sorted(found.items()))


def find_photographs(images: Path, out: Path) -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """The first `MOST_PHOTOGRAPHS` photographs below a folder.

    Args:
        images: the folder.
        out: folder of the demo, which is emptied; where it lies in `images`, its files do not count.

    Returns:
        (relative path -> file, (relative path or number, reason) of what is left out).

    Raises:
        LookalikeError: if it is no folder, lies in `out`, or holds no image.
    """
    if not images.is_dir():
        raise LookalikeError(f"--images: expected a folder of photographs. Received: {images}")
    if images.resolve().is_relative_to(out.resolve()):
        raise LookalikeError(
            f"--images: expected a folder outside of {out}, which is emptied. Received: {images}"
        )
    found: dict[str, Path] = {}
    left_out: list[tuple[str, str]] = []
    for file in list_corpus(str(images), follow_links=False):
        path = folder.relative_path(str(images), file.path)
        if folder.extension(path) not in IMAGE_EXTENSIONS:
            continue
        if file.problem:
            left_out.append((escape(path), file.problem))
        elif Path(file.path).resolve().is_relative_to(out.resolve()):
            continue
        elif escape(path) != path:
            left_out.append((escape(path), "the file's name is not UTF-8"))
        else:
            found[path] = Path(file.path)
    if not found:
        endings = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise LookalikeError(f"--images: expected photographs ({endings}) in {images}. Received: none")
    names = sorted(found)
    if more := names[MOST_PHOTOGRAPHS:]:
        left_out.append((f"{len(more):,} photographs", f"the demo takes the first {MOST_PHOTOGRAPHS}"))
    return {name: found[name] for name in names[:MOST_PHOTOGRAPHS]}, left_out


def make_catalogue(
    out: Path, photographs: Mapping[str, Path], each: int
) -> tuple[int, list[tuple[str, str]]]:
    """Writes `IMAGES`, `QUERIES` and `ROWS` into a folder; the same photographs always give the same bytes.

    Args:
        out: the folder.
        photographs: name -> file; the name becomes the folder of the photograph's views.
        each: views of each photograph in the catalogue.

    Returns:
        (number of views in the catalogue, (name, reason) of the photographs that cannot be read).

    Raises:
        LookalikeError: if fewer than two can be read.
        OSError: if something cannot be written.
    """
    with ThreadPoolExecutor(cores()) as pool:
        errors = pool.map(lambda name: _write_views(out, name, photographs[name], each), photographs)
        unreadable = [(name, error) for name, error in zip(photographs, errors, strict=True) if error]
    readable = [name for name in photographs if name not in dict(unreadable)]
    if len(readable) < 2:
        named = "".join(f"; {name}: {error}" for name, error in unreadable[:5])
        raise LookalikeError(
            f"Expected 2 photographs or more that can be read. Received: {len(readable)}{named}"
        )
    pictures = {name: sorted((out / IMAGES / name).iterdir()) for name in readable}
    with open(out / ROWS, "w", encoding="utf-8") as rows:
        for name, paths in pictures.items():
            for path in paths:
                row = {"path": f"{name}/{path.name}", "photo": name}
                rows.write(json.dumps(row, ensure_ascii=False) + "\n")
    jpeg = next(path for paths in pictures.values() for path in paths if path.suffix == ".jpg")
    broken = broken_files(jpeg.read_bytes())
    for place, names in ((IMAGES, list(broken)), (QUERIES, ["error-page.jpg"])):
        (out / place / BROKEN).mkdir(parents=True, exist_ok=True)
        for name in names:
            (out / place / BROKEN / name).write_bytes(broken[name])
    return len(readable) * each, unreadable


def _write_views(out: Path, name: str, path: Path, each: int) -> str | None:
    """Writes the views of one photograph; gives the reason if it cannot be read."""
    try:
        pixels = open_photograph(path)
    except ImageError as error:
        return str(error)
    name_seed = zlib.crc32(name.encode())
    for seed, (place, count, prefix) in enumerate(((IMAGES, each, "view"), (QUERIES, QUERY_VIEWS, "query"))):
        (out / place / name).mkdir(parents=True, exist_ok=True)
        for number, (extension, content) in enumerate(views(pixels, count, [name_seed, seed])):
            (out / place / name / f"{prefix}-{number:03}.{extension}").write_bytes(content)
    return None
