"""What building an index takes: ours beside ScaNN's own training and autofaiss, and by the number of vectors.

    python benchmarks/peers_index.py [--vectors 200000] [--dim 256] [--growth 25000 50000 100000 200000]
                                     [--threads N] [--memory 6GB] [--rounds 1] [--json FILE]

Clustered vectors; each way is a process of its own. Ours is an index shard written to the disk: identical vectors
looked for, trained, tuned by recall, its files and their digests written; with vectors of 4, 2 and 1 bytes a number.
ScaNN's own is its training with its own sample of 100,000, tuned by nobody. autofaiss chooses by --memory and the bytes
that ours has on the disk.
Of each: seconds, and by those of ScaNN's own; the most memory of the process, less the vectors that it was given; bytes
a vector on the disk; and of 2,000 queries, with the settings that it chose for a recall of 0.99, queries/s and recall
at 10 by the vectors as they were given. --growth gives exponents: time or memory = a * vectors ^ exponent.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
from query import clustered

K = 10
QUERIES = 2_000
WAYS = ("ours", "ours bfloat16", "ours int8", "ScaNN's own", "autofaiss")


def exact(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The score of the K-th nearest of each query: float32 (queries,)."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    for start in range(0, len(vectors), 1 << 14):
        scores = np.concatenate([best, queries @ vectors[start : start + (1 << 14)].T], axis=1)
        best = -np.partition(-scores, K - 1, axis=1)[:, :K]
    return best.min(axis=1)


def build(way: str, folder: str, threads: int, memory: str) -> dict[str, Any]:
    """Builds in this process and tells what it took."""
    vectors = np.load(f"{folder}/vectors.npy")
    queries, least = np.load(f"{folder}/queries.npy"), np.load(f"{folder}/least.npy")
    given = _status("VmRSS")
    work = {"ScaNN's own": _scann, "autofaiss": _autofaiss}.get(way, _ours)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        seconds, size, answer = work(vectors, out, threads, memory, way)
        told = {"seconds": seconds, "peak": _status("VmHWM") - given, "size": size / len(vectors)}
    if answer:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            rows = answer(queries)
            times.append(time.perf_counter() - started)
        scores = np.einsum("qd,qkd->qk", queries, vectors[rows])
        recall = float((scores >= least[:, None] - 1e-6).mean())
        told |= {"speed": len(queries) / min(times), "recall": recall}
    return told


def _status(name: str) -> int:
    """Bytes of memory of this process."""
    return int(re.search(f"{name}:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def _ours(vectors: np.ndarray, out: str, threads: int, _memory: str, way: str) -> tuple[float, int, Any]:
    import pyarrow as pa

    from lookalike.index.search import search
    from lookalike.index.shard import ShardContent, open_index_shard, write_index_shard
    from lookalike.index.tuning import BuildOptions

    ids = pa.array([f"{number:09d}" for number in range(len(vectors))])
    content = ShardContent(pa.table({"item_id": ids}), vectors, "cosine", "-")
    kind = way.partition(" ")[2] or "float32"
    started = time.perf_counter()
    manifest = write_index_shard(out, content, BuildOptions(threads=threads, bytes=kind))
    seconds = time.perf_counter() - started
    shard = open_index_shard(out)
    shard.searcher.threads = threads
    size = sum(file.size for name, file in manifest.files.items() if name != "items.arrow")
    return seconds, size, lambda queries: search([shard], queries, K).row.reshape(-1, K)


def _scann(
    vectors: np.ndarray, _out: str, threads: int, _memory: str, _way: str
) -> tuple[float, float, None]:
    from lookalike.index import native

    leaves = round(2 * len(vectors) ** 0.5)
    native.builder(vectors[:1000], "cosine", K, threads).score_brute_force().build()  # loads its library
    started = time.perf_counter()
    builder = native.builder(vectors, "cosine", K, threads).tree(leaves, max(1, leaves // 10))
    builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
    return time.perf_counter() - started, float("nan"), None


def _autofaiss(vectors: np.ndarray, out: str, threads: int, memory: str, _way: str) -> tuple[float, int, Any]:
    import logging

    import faiss
    from autofaiss import build_index

    started = time.perf_counter()
    index, _ = build_index(
        vectors,
        index_path=f"{out}/knn.index",
        index_infos_path=f"{out}/infos.json",
        metric_type="ip",
        max_index_memory_usage=f"{vectors.nbytes * 9 // 8 // 1_000_000 + 1}MB",
        current_memory_available=memory,
        nb_cores=threads,
        verbose=logging.ERROR,
    )
    seconds = time.perf_counter() - started
    faiss.omp_set_num_threads(threads)
    return seconds, os.path.getsize(f"{out}/knn.index"), lambda queries: index.search(queries, K)[1]


def measured(
    ways: list[str], vectors: np.ndarray, queries: np.ndarray, arguments: Any
) -> list[dict[str, Any]]:
    """A row for each way, the median of some rounds in turns."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/vectors.npy", vectors)
        np.save(f"{folder}/queries.npy", queries)
        np.save(f"{folder}/least.npy", exact(vectors, queries))
        told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way in ways:
                command = [sys.executable, __file__, "--child", way, folder, str(arguments.threads)]
                ran = subprocess.run(
                    [*command, arguments.memory], check=True, stdout=subprocess.PIPE, text=True
                )
                told[way].append(json.loads(ran.stdout.splitlines()[-1]))
    middle = {
        way: {name: statistics.median(one[name] for one in of) for name in of[0]} for way, of in told.items()
    }
    return [
        {
            "way": way,
            "vectors": len(vectors),
            "s": one["seconds"],
            "of ScaNN's own": one["seconds"]
            / middle.get("ScaNN's own", {"seconds": float("nan")})["seconds"],
            "memory, MB": one["peak"] / 1e6,
            "bytes a vector": one["size"],
            "queries/s": one.get("speed", float("nan")),
            "recall at 10": one.get("recall", float("nan")),
        }
        for way, one in middle.items()
    ]


def exponent(rows: list[dict[str, Any]], name: str) -> float:
    """Of the line through all points, both axes logarithmic."""
    x, y = (np.log([row[column] for row in rows]) for column in ("vectors", name))
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--vectors", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--growth", type=int, nargs="*", default=[], help="numbers of vectors")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--memory", default="6GB", help="that autofaiss may use")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    vectors, queries = clustered(max([arguments.vectors, *arguments.growth]), QUERIES, dim=arguments.dim)
    tables = []
    if arguments.ways:
        title = f"{arguments.vectors:,} x {arguments.dim}, {arguments.threads} threads"
        tables.append((title, measured(arguments.ways, vectors[: arguments.vectors], queries, arguments)))
    if arguments.growth:
        rows = []
        for count in arguments.growth:
            rows += measured(["ours", "ScaNN's own"], vectors[:count], queries, arguments)
        tables.append(("growth", rows))
        of_way = {way: [row for row in rows if row["way"] == way] for way in ("ours", "ScaNN's own")}
        exponents = [
            {"way": way, "time": exponent(of, "s"), "memory": exponent(of, "memory, MB")}
            for way, of in of_way.items()
        ]
        tables.append(("exponents", exponents))
    common.show(tables, arguments.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        way, folder, threads, memory = sys.argv[2:]
        print(json.dumps(build(way, folder, int(threads), memory)))
    else:
        main()
