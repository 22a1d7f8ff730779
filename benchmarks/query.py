"""How much of ScaNN's speed is left when queries go through our layers: recall, queries/s, and the ratio.

    python -m benchmarks.query --vectors 200000 --queries 10000 --json query.json

Expected on 2 cores: recall at 10 of 0.99 or more on fresh queries, `search()` at 0.9 of bare ScaNN or more.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from pipelines.index_shard import IndexShard, open_index_shard, write_index_shard
from pipelines.search import search

K = 10
RECALL_QUERIES = 2_000


@dataclass(frozen=True)
class Row:
    """One way of answering all queries.

    Attributes:
        name: the way.
        recall: at 10 against exact search, over fresh queries.
        queries_per_second: median of the repeats.
        ratio: median over the repeats of this way's speed to that of bare ScaNN in the same repeat.
    """

    name: str
    recall: float
    queries_per_second: float
    ratio: float


def clustered(
    count: int, queries: int, *, dim: int = 256, clusters: int = 2_000
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around random centres, and fresh queries like them: float32 (n, dim) each."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((clusters, dim), dtype=np.float32)

    def draw(many: int) -> np.ndarray:
        noise = random.standard_normal((many, dim), dtype=np.float32)
        rows = centres[random.integers(0, clusters, many)] + noise
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return draw(count), draw(queries)


def bare_scann(shard: IndexShard, queries: np.ndarray) -> np.ndarray:
    """ScaNN's own batch search with the shard's settings. Returns rows, (queries, 10)."""
    settings = shard.searcher.settings
    rows, _ = shard.searcher.scann.search_batched_parallel(
        queries, K, settings.pre_reorder or None, settings.leaves_to_search or None
    )
    return rows.astype(np.int64)


def through_search(shard: IndexShard, queries: np.ndarray) -> np.ndarray:
    """`pipelines.search.search` with merging, ties and canonical scores. Returns rows, (queries, 10)."""
    return search([shard], queries, K).row.reshape(len(queries), K)


WAYS: dict[str, Callable[[IndexShard, np.ndarray], np.ndarray]] = {
    "bare search_batched_parallel": bare_scann,
    "search()": through_search,
}
"""The first is what the others are compared with. The query job with its table belongs here as a third."""


def measure(shard: IndexShard, queries: np.ndarray, repeats: int) -> list[Row]:
    """Runs every way in turn, `repeats` times, so that a busy machine slows all of them alike."""
    truth = search([shard], queries[:RECALL_QUERIES], K, exact=True).row.reshape(-1, K)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    recalls: dict[str, float] = {}
    for name, way in WAYS.items():
        found = way(shard, queries[:RECALL_QUERIES])
        recalls[name] = float((found[:, :, None] == truth[:, None, :]).any(axis=2).mean())
    for _ in range(repeats):
        for name, way in WAYS.items():
            start = time.perf_counter()
            way(shard, queries)
            seconds[name].append(time.perf_counter() - start)
    bare = seconds[next(iter(WAYS))]
    return [
        Row(
            name,
            recalls[name],
            len(queries) / statistics.median(seconds[name]),
            statistics.median(b / s for b, s in zip(bare, seconds[name], strict=True)),
        )
        for name in WAYS
    ]


def main(
    vectors: Annotated[int, typer.Option(help="Vectors in the index.")] = 200_000,
    queries: Annotated[int, typer.Option(help="Queries to answer.")] = 10_000,
    repeats: Annotated[int, typer.Option(help="Times that every way is run.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the rows here.")] = None,
) -> None:
    """Builds an index of clustered vectors, and compares ways of querying it."""
    corpus, asked = clustered(vectors, queries)
    items = pa.table({"item_id": pa.array([f"item-{i:09d}" for i in range(vectors)])})
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        manifest = write_index_shard(
            folder, items=items, vectors=corpus, metric="cosine", encoder_fingerprint="benchmark"
        )
        built = time.perf_counter() - start
        rows = measure(open_index_shard(folder), asked, repeats)
    table = Table(title=f"{queries:,} queries, {vectors:,} x {corpus.shape[1]}, built in {built:.0f} s")
    for heading in ("way", "recall at 10", "queries/s", "ratio"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for row in rows:
        table.add_row(row.name, f"{row.recall:.4f}", f"{row.queries_per_second:,.0f}", f"{row.ratio:.3f}")
    console = Console()
    console.print(table)
    console.print(f"{manifest.parameters}\n{manifest.settings}")
    if json_file:
        report = {
            "build_seconds": built,
            "settings": asdict(manifest.settings),
            "rows": [asdict(r) for r in rows],
        }
        json_file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
