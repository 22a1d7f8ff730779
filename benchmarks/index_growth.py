"""What the index stage of a night costs when little changed: an index shard that grows against one that is built anew.

    python benchmarks/index_growth.py [--vectors 24000 --dim 256 --rounds 3] [--json FILE]

Made are embedding files of 512 clustered vectors each, all in one index shard; no image is read. Every row is `index`,
the second half of `lookalike nightly`, in one process; the seconds are medians of rounds that alternate, and the
fraction is of the first row. Behind each row stands what the same night costs where `index.grow` is 0:

  first                all is built
  1 % changed          in one file one vector of a hundred of all is another
  1 file added         512 vectors more
  1 file deleted       512 vectors less

Then what a query pays: 10,000 queries, 10 matches each, in the grown index and in one that was built anew.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import common
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.config.job import Config
from lookalike.embedding.plan import Plan
from lookalike.filesystem import files
from lookalike.index.job import index
from lookalike.index.opening import open_index
from lookalike.index.search import search
from lookalike.sources.shard_list import ShardList
from lookalike.store.generation import read_current
from lookalike.store.notes import EmbeddedShard, embedding_schema

PER_FILE = 512
ENCODER = "0" * 64
Corpus = dict[str, np.ndarray]


class Nights:
    """A store, and the index stage of nights on it.

    Args:
        folder: of the store.
        dim: length of a vector.
        grow: `index.grow`.
    """

    def __init__(self, folder: Path, dim: int, grow: float) -> None:
        self.config: Config = common.job(folder, folder, folder, index={"grow": grow})
        self._folder, self._dim = folder, dim
        (folder / "embeddings").mkdir(parents=True)

    def night(self, corpus: Corpus) -> float:
        """Indexes a corpus: name of a file -> its vectors. Gives the seconds."""
        notes = [self._embedded(name, vectors) for name, vectors in sorted(corpus.items())]
        done = np.ones(len(notes), bool)
        plan = Plan(ENCODER, "none", self._dim, "options", ShardList.of([]), done, notes, notes)
        started = time.perf_counter()
        index(self.config, plan)
        return time.perf_counter() - started

    def _embedded(self, name: str, vectors: np.ndarray) -> EmbeddedShard:
        schema = embedding_schema(self._dim, {})
        count = len(vectors)
        embedding = pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.reshape(-1)), type=schema.field("embedding").type
        )
        ids = pa.array([f"{name}-{number:04}" for number in range(count)])
        sizes = pa.array(np.full(count, 8, np.int32))
        columns = [ids, embedding, ids, sizes, sizes]
        paths = [f"embeddings/{name}.parquet", f"embeddings/{name}.rejects.parquet"]
        for path, table in zip(
            paths, (pa.table(columns, schema=schema), pa.table({"item_id": []})), strict=True
        ):
            pq.write_table(table, self._folder / path, compression="zstd", use_dictionary=False)
        digests = [files.sha256(str(self._folder / path)) for path in paths]
        counts = {"read": count, "embedded": count, "reused": 0, "rejected": 0, "duplicates": 0}
        return EmbeddedShard(
            shard=name,
            token="",
            digest="",
            encoder=ENCODER,
            options="options",
            path=paths[0],
            sha256=digests[0],
            rejects_path=paths[1],
            rejects_sha256=digests[1],
            **counts,
            reasons={},
            damaged=None,
            bytes=0,
            seconds={},
        )


def clustered(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors in clusters of some 16, float32 (count, dim)."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((1500, dim))
    vectors = centres[chance.integers(0, len(centres), count)] + 0.7 * chance.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def changes(corpus: Corpus, dim: int) -> dict[str, Corpus]:
    """What happens to the corpus, each for itself."""
    name = sorted(corpus)[len(corpus) // 2]
    changed = corpus[name].copy()
    many = min(len(changed), len(corpus) * PER_FILE // 100)
    changed[:many] = clustered(many, dim, 2)
    without = {key: vectors for key, vectors in corpus.items() if key != name}
    return {
        "1 % changed": {**corpus, name: changed},
        "1 file added": {**corpus, "new": clustered(PER_FILE, dim, 3)},
        "1 file deleted": without,
    }


def measure(folder: Path, vectors: int, dim: int, rounds: int) -> list[list[dict[str, Any]]]:
    """Rows of nights and of queries."""
    names = [f"{number:05}" for number in range(vectors // PER_FILE)]
    corpus = {name: clustered(PER_FILE, dim, number + 10) for number, name in enumerate(names)}
    grown, anew = (Nights(folder / name, dim, grow) for name, grow in (("grown", 0.1), ("anew", 0.0)))
    first = [nights.night(corpus) for nights in (grown, anew)]
    rows = [{"night": "first", "s": first[0], "of the first": 1.0, "built anew, s": first[1]}]
    shutil.copytree(folder / "grown", folder / "before")
    for name, change in changes(corpus, dim).items():
        seconds = []
        for _ in range(rounds):
            shutil.rmtree(folder / "grown")
            shutil.copytree(folder / "before", folder / "grown")
            seconds.append(grown.night(change))
        again = anew.night(change)
        rows.append(
            {
                "night": name,
                "s": median(seconds),
                "of the first": median(seconds) / first[0],
                "built anew, s": again,
            }
        )
    shutil.rmtree(folder / "grown")
    shutil.copytree(folder / "before", folder / "grown")
    for nights in (grown, anew):
        nights.night(changes(corpus, dim)["1 % changed"])
    return [rows, [queries(grown, anew, clustered(10_000, dim, 4), rounds)]]


def queries(grown: Nights, anew: Nights, asked: np.ndarray, rounds: int) -> dict[str, Any]:
    """Queries a second of both, measured in turns."""

    def opened(nights: Nights) -> Callable[[], float]:
        store = nights.config.store
        shards = [open_index(store, ref) for ref in read_current(store).indexes]

        def ask() -> float:
            started = time.perf_counter()
            search(shards, asked, 10)
            return len(asked) / (time.perf_counter() - started)

        return ask

    asks = [opened(grown), opened(anew)]
    found = [[ask() for ask in asks] for _ in range(2 * rounds + 1)][1:]
    of_grown, of_anew = (median(column) for column in zip(*found, strict=True))
    return {"grown, queries/s": of_grown, "built anew": of_anew, "ratio": of_grown / of_anew}


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--vectors", type=int, default=24_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        nights, asked = measure(Path(folder), arguments.vectors, arguments.dim, arguments.rounds)
    common.show([("The index stage of nights", nights), ("Queries", asked)], arguments.json)


if __name__ == "__main__":
    main()
