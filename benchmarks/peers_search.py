"""Search of ours beside FAISS (HNSW, and IVF-PQ fast scan), hnswlib and usearch, at equal recall, in one run.

    python benchmarks/peers_search.py [--kind clustered|views] [--vectors 200000] [--dims 256] [--queries 10000]
                                      [--rounds 5] [--threads N] [--cache FOLDER] [--plot FOLDER] [--json FILE]

Vectors are clustered ones, or views of the clothing photographs (crops, flips, turns, colours; as many of each as it
takes), asked with photographs that the index does not hold, and with twenty views of each. Embedding the views takes
most of the time; --cache keeps them.
Every index is searched with all settings of a grid of its own, by the first 3,000 queries; at each recall at 10 that is
asked for, the three of them that were fastest are measured in turns with those of the others, by all queries at once,
and the best is told. --queries 1000 tells of small batches. Recall is by score: a tie with the tenth is a hit. Ours is
searched through `search()`: merging, ties and exact scores included; `ours, as tuned` is what the index itself chooses
for that recall, `whole job` the query job from a file of queries to the table of results.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from query import clustered, publish
from recall import Vectors

from lookalike.config.job import Config
from lookalike.demo.views import open_photograph, views
from lookalike.index.opening import open_index
from lookalike.index.scores import pair_scores
from lookalike.index.search import search
from lookalike.index.shard import IndexShard
from lookalike.index.tuning import BuildOptions, trials_for, tune
from lookalike.query.job import QueryOptions, query
from lookalike.store.generation import read_current
from lookalike.store.index_manifest import SearchSettings

K = 10
RECALLS = (0.9, 0.95, 0.99, 0.999)
EFFORTS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 450, 640, 900, 1280)
"""What a search of a graph may be told to look at."""
LEAVES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
VIEWS_OF_A_QUERY = 20
SWEPT = 3_000
"""Queries by which the settings to be measured are found."""


@dataclass
class Peer:
    """An index that is built, and how it is searched.

    Attributes:
        name: in the tables.
        search: (setting, queries) -> rows, int64 (q, K).
        settings: the grid, cheaper ones first where one number orders them.
        seconds: that building took.
        memory: bytes by which building it made this process grow.
        disk: bytes of its files.
        seen: setting -> recall, queries/s.
    """

    name: str
    search: Callable[[Any, np.ndarray], np.ndarray]
    settings: list[Any]
    seconds: float = 0
    memory: int = 0
    disk: int = 0
    seen: dict[Any, tuple[float, float]] = field(default_factory=dict)

    def fastest(self, recall: float) -> list[Any]:
        """The three settings that were fastest of those that reach it."""
        enough = [setting for setting, (found, _) in self.seen.items() if found >= recall]
        return sorted(enough, key=lambda setting: -self.seen[setting][1])[:3]


def ours(vectors: np.ndarray, job: Config, threads: int) -> tuple[Peer, IndexShard]:
    """Through the index job and `search()`."""
    publish(vectors, job)
    (ref,) = read_current(job.store).indexes
    shard = open_index(job.store, ref)
    shard.searcher.threads = threads

    def ask(setting: tuple[int, int], queries: np.ndarray) -> np.ndarray:
        shard.searcher.settings = (SearchSettings(K, *setting, 0.0, {}),)
        return search([shard], queries, K).row.reshape(-1, K)

    leaves = shard.searcher.parameters.leaves
    steps = [*(one for one in LEAVES if one < leaves), leaves] if leaves else [0]
    depths = [15, 20, 30, 40, 60, 90, 130, 200, 320, 640]
    if shard.searcher.parameters.algorithm == "flat_tree":
        depths = [K]
    disk = sum(file.size for name, file in shard.manifest.files.items() if name != "items.arrow")
    # Where the index is searched exactly there is no other setting.
    settings = list(itertools.product(steps, depths)) if shard.searcher.scann else [(0, 0)]
    return Peer("ours", ask, settings, disk=disk), shard


def faiss_hnsw(vectors: np.ndarray, threads: int, file: str) -> Peer:
    """A graph of 32 neighbours."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 128
    index.add(vectors)
    faiss.write_index(index, file)

    def ask(effort: int, queries: np.ndarray) -> np.ndarray:
        index.hnsw.efSearch = effort
        return index.search(queries, K)[1]

    return Peer("FAISS HNSW", ask, list(EFFORTS))


def faiss_fast_scan(vectors: np.ndarray, threads: int, file: str, lists_a_root: int = 2) -> Peer:
    """As many lists as ours has leaves, or others, 4 bits for 2 dimensions, reordered by the vectors.

    Args:
        lists_a_root: lists, in square roots of the number of vectors.
    """
    import faiss

    faiss.omp_set_num_threads(threads)
    lists = round(lists_a_root * len(vectors) ** 0.5)
    key = f"IVF{lists},PQ{vectors.shape[1] // 2}x4fs,RFlat"
    index = faiss.index_factory(vectors.shape[1], key, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, file)
    lower = faiss.downcast_index(index.base_index)

    def ask(setting: tuple[int, int], queries: np.ndarray) -> np.ndarray:
        lower.nprobe, index.k_factor = setting
        return index.search(queries, K)[1]

    return Peer(
        f"FAISS IVF-PQ fast scan, {lists} lists",
        ask,
        list(itertools.product(LEAVES, (2, 3, 4, 5, 6, 8, 12, 16, 32))),
    )


def hnswlib_graph(vectors: np.ndarray, threads: int, file: str) -> Peer:
    """A graph of 32 neighbours."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=128, M=32)
    index.set_num_threads(threads)
    index.add_items(vectors)
    index.save_index(file)

    def ask(effort: int, queries: np.ndarray) -> np.ndarray:
        index.set_ef(effort)
        return index.knn_query(queries, K, num_threads=threads)[0].astype(np.int64)

    return Peer("hnswlib", ask, list(EFFORTS))


def usearch_graph(vectors: np.ndarray, threads: int, file: str) -> Peer:
    """A graph of 32 neighbours."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=32, expansion_add=128)
    index.add(np.arange(len(vectors)), vectors, threads=threads)
    index.save(file)

    def ask(effort: int, queries: np.ndarray) -> np.ndarray:
        index.expansion_search = effort
        return index.search(queries, K, threads=threads).keys.astype(np.int64)

    return Peer("usearch", ask, list(EFFORTS))


PEERS = {
    "hnsw": faiss_hnsw,
    "fastscan": faiss_fast_scan,
    "fastscan4": functools.partial(faiss_fast_scan, lists_a_root=4),
    "hnswlib": hnswlib_graph,
    "usearch": usearch_graph,
}


class Photographs(Vectors):
    """Embeddings of views of the photographs, as many as are wanted."""

    def __init__(self, data: Path, folder: Path, count: int) -> None:
        super().__init__(data, folder)
        self._count = count

    def _images(self, name: str) -> Iterator[bytes]:
        if name.startswith("views-"):
            photographs = sorted((self._data / "train").rglob("*.jpg"))
            each = -(-self._count // len(photographs))
        elif name == "new":
            photographs = sorted((self._data / "validation").rglob("*.jpg"))
            each = VIEWS_OF_A_QUERY
        else:
            yield from super()._images(name)
            return
        for number, path in enumerate(photographs):
            yield from (content for _, content in views(open_photograph(path), each, [number]))

    def catalogue(self) -> tuple[np.ndarray, np.ndarray]:
        """The vectors, and those of the queries."""
        vectors = np.unique(self.of(f"views-{self._count}")[: self._count], axis=0)
        return vectors, np.concatenate([self.of("validation"), self.of("new")])


def resident() -> int:
    """Bytes of this process in memory that no file backs."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s*([0-9]+) kB", status)[1]) * 1024


def built(
    vectors: np.ndarray, names: list[str], work: Path, threads: int, job: Config
) -> tuple[list[Peer], IndexShard]:
    """Every index."""
    peers = []
    for name in ["ours", *names]:
        file = work / name
        before, started = resident(), time.perf_counter()
        if name == "ours":
            peer, shard = ours(vectors, job, threads)
        else:
            peer = PEERS[name](vectors, threads, str(file))
            peer.disk = os.path.getsize(file)
            file.unlink()
        peer.seconds, peer.memory = time.perf_counter() - started, resident() - before
        peers.append(peer)
    return peers, shard


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What it gives, and the seconds it takes."""
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


class Truth:
    """What is near to the queries.

    Args:
        shard: asked exactly.
        vectors: of the index, in the order of the rows that searches give.
        queries: float32 (q, dim).
    """

    def __init__(self, shard: IndexShard, vectors: np.ndarray, queries: np.ndarray) -> None:
        self._vectors, self._queries = vectors, queries
        self._least = search([shard], queries, K, exact=True).score.reshape(-1, K)[:, -1:] - 1e-6

    def recall(self, rows: np.ndarray) -> float:
        """Share of the ten nearest that was found; rows int64 (q, K)."""
        scores = pair_scores(self._vectors, self._queries, rows, "cosine")
        return float((scores >= self._least).mean())


def sweep(peer: Peer, queries: np.ndarray, truth: Truth) -> None:
    """Asks with every setting once, but with none that looks at more than one that finds all."""
    print(f"{peer.name}: {peer.seconds:,.0f} s to build, asking", file=sys.stderr)
    peer.search(peer.settings[0], queries)  # or the first would be timed while memory is given to it
    enough: list[Any] = []
    for setting in peer.settings:
        if any(np.all(np.greater_equal(setting, less)) for less in enough):
            continue
        rows, seconds = timed(lambda setting=setting: peer.search(setting, queries))
        peer.seen[setting] = truth.recall(rows), len(queries) / seconds
        if peer.seen[setting][0] > 0.9997:
            enough.append(setting)


def as_tuned(shard: IndexShard, recall: float) -> tuple[int, int] | None:
    """What the index chooses for this recall, by queries that are not these; None for exact search."""
    if not shard.searcher.scann:
        return None
    options = BuildOptions(recall_target=recall)
    (first, *_), _ = tune(shard.searcher, options, trials_for(shard.searcher, options))
    return (first.leaves_to_search, first.pre_reorder) if first.pre_reorder else None


def in_turns(ways: dict[str, Callable[[], Any]], queries: int, rounds: int) -> dict[str, float]:
    """Queries/s of each way, the median of some rounds in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way)[1])
    return {name: queries / statistics.median(times) for name, times in seconds.items()}


def at_recall(
    peers: list[Peer], shard: IndexShard, queries: np.ndarray, truth: Truth, recall: float, rounds: int
) -> list[dict[str, Any]]:
    """The table of one recall."""
    ways, recalls = {}, {}
    chosen = as_tuned(shard, recall)
    for peer in peers:
        for setting in peer.fastest(recall):
            name = f"{peer.name}|{setting}"
            ways[name] = lambda peer=peer, setting=setting: peer.search(setting, queries)
            recalls[name] = peer.seen[setting][0]
    if chosen:
        name = f"ours, as tuned|{chosen}"
        ways[name] = lambda: peers[0].search(chosen, queries)
        recalls[name] = truth.recall(peers[0].search(chosen, queries[:SWEPT]))
    speeds = in_turns(ways, len(queries), rounds)
    best: dict[str, str] = {}
    for name in sorted(speeds, key=lambda name: -speeds[name]):
        best.setdefault(name.split("|")[0], name)
    others = [speeds[name] for peer, name in best.items() if not peer.startswith("ours")]
    return [
        {
            "index": peer,
            "setting": name.split("|")[1],
            "recall": recalls[name],
            "queries/s": speeds[name],
            "of the best other": speeds[name] / max(others) if others else float("nan"),
        }
        for peer, name in best.items()
    ]


def whole_job(job: Config, queries: np.ndarray, shard: IndexShard, work: Path, rounds: int) -> dict[str, Any]:
    """The query job as the index is tuned, beside the bare `search_batched` of the same setting."""
    (first, *_) = shard.manifest.settings
    names = pa.array([f"query-{number}" for number in range(len(queries))])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(queries.ravel()), queries.shape[1])
    pq.write_table(pa.table({"query_id": names, "embedding": vectors}), work / "queries.parquet")
    shard.searcher.settings = shard.manifest.settings

    def bare() -> np.ndarray:
        if not first.pre_reorder:
            return shard.searcher.search(queries, K)[0]
        return shard.searcher.approximate(queries, K, first.leaves_to_search, first.pre_reorder)[0]

    ways = {
        "bare": bare,
        "job": lambda: query(job, str(work / "queries.parquet"), str(work / "out"), QueryOptions(k=K)),
    }
    speeds = in_turns(ways, len(queries), rounds)
    return {
        "queries": len(queries),
        "whole job, queries/s": speeds["job"],
        "bare, queries/s": speeds["bare"],
        "of bare": speeds["job"] / speeds["bare"],
    }


def plot(peers: list[Peer], title: str, path: Path) -> None:
    """Queries/s by recall: what no other setting of the index beats in both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for peer in peers:
        best, line = 0.0, []
        for recall, speed in sorted(peer.seen.values(), reverse=True):
            if speed > best:
                best = speed
                line.append((recall, speed))
        axes.plot(*zip(*line, strict=True), marker=".", label=peer.name)
    axes.set(xlim=(0.8, 1.0), yscale="log", xlabel="recall at 10", ylabel="queries/s", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def run(arguments: Any, dim: int, folder: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """All tables of one set of vectors."""
    if arguments.kind == "views":
        vectors, queries = Photographs(
            arguments.data, arguments.cache or folder, arguments.vectors
        ).catalogue()
        dim = vectors.shape[1]
    else:
        vectors, queries = clustered(arguments.vectors, arguments.queries, dim=dim)
    queries = np.ascontiguousarray(queries[: arguments.queries])
    title = f"{arguments.kind}, {len(vectors):,} x {dim}"
    job = common.job(folder, folder, folder / f"store-{dim}", index={"threads": arguments.threads})
    peers, shard = built(vectors, arguments.peers, folder, arguments.threads, job)
    truth = Truth(shard, vectors, queries[:SWEPT])
    for peer in peers:
        sweep(peer, queries[:SWEPT], truth)
    facts = [
        {"index": p.name, "build, s": p.seconds, "memory, MB": p.memory / 1e6, "on disk, MB": p.disk / 1e6}
        for p in peers
    ]
    tables = [(f"{title}: what was built", facts)]
    for recall in arguments.recalls:
        rows = at_recall(peers, shard, queries, truth, recall, arguments.rounds)
        tables.append((f"{title}: recall at 10 of {recall}", rows))
    many = np.concatenate([queries] * max(1, -(-arguments.job_queries // len(queries))))
    job_row = whole_job(job, many[: arguments.job_queries], shard, folder, 3)
    tables.append((f"{title}: the whole query job, the index's own setting", [job_row]))
    if arguments.plot:
        arguments.plot.mkdir(parents=True, exist_ok=True)
        plot(peers, title, arguments.plot / f"peers-{arguments.kind}-{len(vectors)}-{dim}.png")
    return tables


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--kind", choices=("clustered", "views"), default="clustered", help="of vectors")
    parser.add_argument("--vectors", type=int, default=200_000)
    parser.add_argument("--dims", type=int, nargs="+", default=[256])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--job-queries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--recalls", type=float, nargs="+", default=list(RECALLS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--cache", type=Path, help="folder in which embeddings and encoder are kept")
    parser.add_argument("--plot", type=Path, help="folder for the curves")
    arguments = parser.parse_args()
    tables = []
    for dim in arguments.dims:
        with tempfile.TemporaryDirectory() as folder:
            tables += run(arguments, dim, Path(folder))
    common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
