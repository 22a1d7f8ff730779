"""The recall that pictures get which the catalogue does not hold, beside what the manifest says, and what it costs.

    python benchmarks/recall.py [--data ../shared/data/clothing] [--cache FOLDER] [--only ROW ...] [--json FILE]

Catalogues are made from the clothing photographs of train/ and embedded with the default encoder; the queries are the
photographs of validation/, none of which is in any of them. Rows:
  views     16 views each of every second photograph: crops, flips, turns, colours
  few       64 views each of 375 photographs
  copies    every picture under 11 ids
  crops     3 crops and their mirror images of every photograph, with quantised codes (AH)
  tree      the views in a tree, as an index of more than 100,000 has
  different 1,500 photographs, no two alike, with quantised codes
  colours   20,500 small pictures of one random colour each, asked with 341 more
Recall is by score against exact search: a tie with the k-th nearest is a hit. `by members` is what the setting gives
that members of the index alone would choose: the speed, and the recall at 10 of the same queries. --cache keeps the
vectors, whose making takes most of the time.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
import pyarrow as pa

from lookalike.demo.views import open_photograph, views
from lookalike.index import trials, tuning
from lookalike.index.search import search
from lookalike.index.shard import IndexShard, ShardContent, in_memory
from lookalike.index.tuning import BuildOptions
from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.store.index_manifest import Algorithm

TIMES = 10
"""How often the queries are repeated to measure speed."""


def encoded(encoder: Encoder, images: Iterable[bytes]) -> np.ndarray:
    """Vectors of images, float32 (n, dim)."""
    waiting = iter(images)
    batches = iter(lambda: list(itertools.islice(waiting, BATCH)), [])
    return np.concatenate([batch.vectors for batch in encoder.map(batches)])


def jpeg(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 3), RGB, as a file."""
    return bytes(cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def crops(path: Path) -> Iterator[bytes]:
    """Three crops of 85 % of each side, and their mirror images."""
    pixels = open_photograph(path)
    height, width = (round(0.85 * side) for side in pixels.shape[:2])
    for top, left in ((0, 0), (0, 1), (1, 0)):
        y, x = top * (pixels.shape[0] - height), left * (pixels.shape[1] - width)
        part = pixels[y : y + height, x : x + width]
        yield jpeg(part)
        yield jpeg(part[:, ::-1])


def colours(count: int, seed: int) -> Iterator[bytes]:
    """Pictures of 32 x 32 pixels, each of one random colour."""
    for colour in np.random.default_rng(seed).integers(0, 256, (count, 3), np.uint8):
        yield jpeg(np.tile(colour, (32, 32, 1)))


class Vectors:
    """Vectors of the catalogues and of the queries, made when they are asked for and then kept.

    Args:
        data: folder with train/ and validation/.
        folder: where they are kept.
    """

    def __init__(self, data: Path, folder: Path) -> None:
        self._data, self._folder = data, folder
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, name: str) -> np.ndarray:
        """Vectors by the name of what they show."""
        path = self._folder / f"{name}.npy"
        if not path.exists():
            print(f"embedding {name} ...", file=sys.stderr)
            np.save(path, encoded(self._encoder, self._images(name)))
        return np.load(path)

    @property
    def _encoder(self) -> Encoder:
        bundle = self._folder / "encoder"
        if not bundle.exists():
            common.build_default_encoder(bundle, self._data)
        return Encoder.load(str(bundle))

    def _images(self, name: str) -> Iterator[bytes]:
        photographs = sorted((self._data / "train").rglob("*.jpg"))
        if name == "views":
            for number, path in enumerate(photographs[::2]):
                yield from (content for _, content in views(open_photograph(path), 16, [number]))
        elif name == "few":
            for number, path in enumerate(photographs[::8][:375]):
                yield from (content for _, content in views(open_photograph(path), 64, [number]))
        elif name == "crops":
            yield from itertools.chain.from_iterable(map(crops, photographs))
        elif name == "colours":
            yield from colours(20_500, seed=0)
        elif name == "other colours":
            yield from colours(341, seed=1)
        else:
            yield from (path.read_bytes() for path in sorted((self._data / name).rglob("*.jpg")))


def built(vectors: np.ndarray, algorithm: Algorithm | None) -> IndexShard:
    """An index shard in memory, as the index job makes it."""
    ids = pa.array([f"{number:09d}" for number in range(len(vectors))])
    return in_memory(
        ShardContent(pa.table({"item_id": ids}), vectors, "cosine", "-"), BuildOptions(algorithm=algorithm)
    )


def row(name: str, vectors: np.ndarray, queries: np.ndarray, algorithm: Algorithm | None) -> dict[str, Any]:
    """One line of the table."""
    shard = built(vectors, algorithm)
    searcher = shard.searcher
    settings = searcher.settings[0]
    algorithm = "exact" if not settings.pre_reorder else searcher.parameters.algorithm
    recalls = {}
    for k in (10, 100):
        found, exact = (
            search([shard], queries, k, exact=exact).score.reshape(-1, k) for exact in (False, True)
        )
        recalls[k] = (found >= exact[:, -1:] - 1e-6).mean(axis=1)
        if k == 10:
            first = float((found[:, 0] >= exact[:, 0] - 1e-6).mean())
    made = {
        "catalogue": name,
        "ids": len(vectors),
        "vectors": len(searcher),
        "search": f"{algorithm} {settings.leaves_to_search}/{settings.pre_reorder}",
        "manifest": min(one.recall for one in searcher.settings),
        "members": settings.recalls["members"].mean if settings.recalls else 1.0,
        "at 10": float(recalls[10].mean()),
        "worst": float(recalls[10].min()),
        "rank 1": first,
        "at 100": float(recalls[100].mean()),
        "queries/s": speed(lambda many: search([shard], many, 10), queries),
    }
    if not settings.pre_reorder:
        return made | {"by members": "-", "recall": "-"}
    leaves, candidates = members_only(shard)
    rows, _ = searcher.approximate(queries, 10, leaves, candidates)
    exact_rows, _ = searcher.search(queries, 10, exact=True)
    missed = [len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), exact_rows.tolist(), strict=True)]
    searcher.settings = [tuning.SearchSettings(10, leaves, candidates, 0.99, {})]
    rate = speed(lambda many: search([shard], many, 10), queries)
    return made | {"by members": f"{rate:,.0f}/s", "recall": float(np.mean(missed))}


def members_only(shard: IndexShard) -> tuple[int, int]:
    """Leaves and candidates that members of the index alone would choose at 10."""
    searcher = shard.searcher
    members = trials.make_trials(searcher, 10)["members"]
    shape = tuning.Shape.of(len(searcher), searcher.dim, searcher.parameters)
    chosen = tuning.choose(
        shape, lambda leaves, depth, _: {"members": members.recall(10, leaves, depth)}, k=10, target=0.99
    )
    return chosen.leaves_to_search, chosen.pre_reorder


def speed(answer: Callable[[np.ndarray], Any], queries: np.ndarray) -> float:
    """Queries a second, the best of three."""
    many = np.concatenate([queries] * TIMES)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        answer(many)
        times.append(time.perf_counter() - started)
    return len(many) / min(times)


def main() -> None:
    """Prints the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--cache", type=Path, help="folder in which vectors and encoder are kept")
    parser.add_argument("--only", nargs="+", help="names of rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        vectors = Vectors(arguments.data, arguments.cache or Path(temporary))
        catalogues: dict[str, tuple[Callable[[], np.ndarray], Algorithm | None]] = {
            "views": (lambda: vectors.of("views"), None),
            "few": (lambda: vectors.of("few"), None),
            "copies": (lambda: np.repeat(vectors.of("views")[:9204], 11, axis=0), None),
            "crops": (lambda: vectors.of("crops"), "ah"),
            "tree": (lambda: vectors.of("views"), "tree"),
            "different": (lambda: vectors.of("train")[:1500], "ah"),
            "colours": (lambda: vectors.of("colours"), None),
        }
        rows = [
            row(name, make(), vectors.of("other colours" if name == "colours" else "validation"), algorithm)
            for name, (make, algorithm) in catalogues.items()
            if not arguments.only or name in arguments.only
        ]
    common.show([("Recall of pictures that are not in the catalogue", rows)], arguments.json)


if __name__ == "__main__":
    main()
