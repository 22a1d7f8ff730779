"""What filters keep and cost: recall, K filled, and time, by how many items pass, beside the same search without one.

    python benchmarks/filters.py [--vectors 200000] [--dims 256] [--queries 2000] [--cache FOLDER] [--json FILE]

Clustered vectors; items that pass are drawn at random (`random`), or lie in whole regions of the space: of 64, those
nearest to the queries (`near`), farthest (`far`), or any (`regions`). `own` gives each query a filter of its own: its
region alone, all but its region, and the 32 regions that are farthest from its own.
Recall at 10 is against exact search under the same filter, by score. Times are the best of two in turns with the search
without a filter, which stands in the first row; the filter is evaluated once before. Groups are limited to one match of
a value: of 20,000 values, of 64 regions, and of one that 99 % of the items have.
--cache keeps the index.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa
from query import clustered

from lookalike.index.conditions import NO_CONDITIONS, Conditions
from lookalike.index.search import Matches, search
from lookalike.index.shard import IndexShard, ShardContent, open_index_shard, write_index_shard
from lookalike.index.tuning import BuildOptions

K = 10
REGIONS = 64
SHARES = (0.5, 0.2, 0.1, 0.05, 0.01, 0.005, 0.0005)


def built(folder: Path, count: int, queries: int, dim: int) -> tuple[IndexShard, np.ndarray, np.ndarray]:
    """An index whose items know their region and a random number; queries, and the centres of the regions."""
    vectors, asked = clustered(count, queries, dim=dim)
    random = np.random.default_rng(1)
    centres = vectors[random.choice(count, REGIONS, replace=False)]
    if not (folder / "manifest.json").exists():
        columns = {
            "item_id": [f"{number:07}" for number in range(count)],
            "share": random.permutation(count) / count,
            "region": np.argmax(vectors @ centres.T, axis=1),
            "product": random.integers(0, 20_000, count),
            "lopsided": np.where(random.random(count) < 0.99, 0, random.integers(0, 20_000, count)),
        }
        content = ShardContent(pa.table(columns), vectors, "cosine", "benchmark")
        write_index_shard(str(folder), content, BuildOptions())
    return open_index_shard(str(folder)), asked, centres


def cases(
    shard: IndexShard, queries: np.ndarray, centres: np.ndarray
) -> Iterator[tuple[str, Conditions, pa.Table | None]]:
    """What is asked: a name, conditions, and columns of the queries."""
    for share in SHARES:
        yield f"random {share}", Conditions(where=f"share < {share}"), None
    sizes = np.bincount(shard.items["region"].to_numpy(), minlength=REGIONS) / len(shard.items)
    near = np.argsort(-(queries @ centres.T).mean(axis=0))
    for name, order in (("near", near), ("far", near[::-1]), ("regions", np.arange(REGIONS))):
        for share in SHARES[:4]:
            regions = order[: 1 + int(np.searchsorted(np.cumsum(sizes[order]), share))].tolist()
            yield (
                f"{name} {sizes[regions].sum():.2f}",
                Conditions(where=f"region in ({str(regions)[1:-1]})"),
                None,
            )
    own = np.argmax(queries @ centres.T, axis=1)
    far = np.argsort(centres @ centres.T, axis=1)[own, : REGIONS // 2]
    columns = pa.table({"region": own, "far": pa.array(far.tolist(), pa.list_(pa.int64()))})
    yield "own: the same region", Conditions(where="region = query.region"), columns
    yield "own: another region", Conditions(where="region <> query.region"), columns
    yield "own: far regions", Conditions(where="list_contains(query.far, region)"), columns
    for field in ("product", "region", "lopsided"):
        yield f"groups by {field}", Conditions(group_by=field), None


def row(
    shard: IndexShard, queries: np.ndarray, name: str, conditions: Conditions, columns: pa.Table | None
) -> dict[str, Any]:
    """The figures of one case."""

    def ask(conditions: Conditions = conditions, exact: bool = False) -> tuple[Matches, float]:
        started = time.perf_counter()
        found = search([shard], queries, K, exact=exact, conditions=conditions, columns=columns)
        return found, time.perf_counter() - started

    truth, exactly = ask(exact=True)
    found, _ = ask()
    rounds = [(ask(NO_CONDITIONS)[1], ask()[1]) for _ in range(2)]
    bare, taken = (min(of) for of in zip(*rounds, strict=True))
    return {
        "filter": name,
        "recall at 10": recall(found, truth, len(queries)),
        "K filled": float(len(found.query) / len(truth.query)),
        "ms a query": 1000 * taken / len(queries),
        "times unfiltered": taken / bare,
        "exact, times unfiltered": exactly / bare,
    }


def recall(found: Matches, truth: Matches, queries: int) -> float:
    """Share of the matches of an exact search that were found; a tie with the last one is a hit."""
    last = np.full(queries, np.inf)
    np.minimum.at(last, truth.query, truth.score)
    hits = found.score >= last[found.query] - 1e-6
    return float(np.count_nonzero(hits) / len(truth.query))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--vectors", type=int, default=200_000)
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.cache or Path(folder, "index")
        shard, queries, centres = built(place, options.vectors, options.queries, options.dims)
        asked = [("none", NO_CONDITIONS, None), *cases(shard, queries, centres)]
        rows = [row(shard, queries, *case) for case in asked]
    title = f"{options.vectors:,} vectors of {options.dims} dimensions, {options.queries:,} queries"
    common.show([(title, rows)], options.json)


if __name__ == "__main__":
    main()
