"""Queries over an index in 1, 4, 16 and 64 shards: time, peak memory, and that all answer alike.

    python benchmarks/query_shards.py [--vectors 1000000] [--queries 2000] [--shards 1,4,16,64] [--memory 512MiB]
                                      [--folder DIR] [--dask tcp://HOST:PORT] [--workers 2] [--json FILE]

Clustered vectors of 256 dimensions, one index at a time on the disk (1 GB for a million). Each way is a process of its
own, which answers the same file of vectors:
  all open    every index shard at once, as a machine with enough memory does it
  in turn     index shards opened a few at a time, within --memory
  workers     the same by Dask, with as many processes of one thread as --workers says, or by the cluster at --dask
Search is exact, so that the tables of every division and every way must be the same, to the byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from query import clustered

from lookalike.index.shard import ShardContent, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.store.generation import FORMAT, Generation, IndexRef, publish
from lookalike.store.index_manifest import MANIFEST

ENCODER = "0" * 64
DIM = 256
PROCESS = """
import json, re, sys, time
from lookalike.config.job import Config
from lookalike.query.job import QueryOptions, query

store, queries, out, memory, k, *flags = sys.argv[1:]
job = Config.model_validate(
    {"corpus": {"shards": "none"}, "encoder": "none", "store": store, "query": {"memory": int(memory)}}
)
started = time.perf_counter()
done = query(job, queries, out, QueryOptions(int(k), exact=True), flags)
told = {"seconds": time.perf_counter() - started, "matches": done.matches}
# Not of getrusage, which also counts the process that this one was started by.
told["peak"] = int(re.search("VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps(told))
"""


def published(store: Path, vectors: np.ndarray, shards: int) -> None:
    """Vectors as so many index shards, and a generation of them."""
    refs = []
    for number in range(shards):
        rows = np.arange(number, len(vectors), shards)
        ids = pa.array([f"{row:08}" for row in rows.tolist()])
        content = ShardContent(pa.table({"item_id": ids}), vectors[rows], "cosine", ENCODER)
        folder = store / "indexes" / f"{number:05}"
        write_index_shard(str(folder), content, BuildOptions(algorithm="brute_force"))
        sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        refs.append(IndexRef(f"indexes/{number:05}", sha256, len(rows), "brute_force", 1.0))
    publish(
        str(store),
        Generation(
            format=FORMAT,
            name="20260101T000000Z-00000000",
            created="2026-01-01T00:00:00+00:00",
            encoder=ENCODER,
            encoder_name="none",
            dim=DIM,
            metric="cosine",
            metadata={},
            counts={"items": len(vectors)},
            shards=(),
            duplicates=0,
            indexes=tuple(refs),
            previous=None,
        ),
    )


def answered(
    store: Path, queries: Path, out: Path, memory: int, k: int, flags: list[str]
) -> tuple[dict[str, Any], str]:
    """What a query job of its own process says of itself, and a digest of both tables."""
    arguments = [str(value) for value in (store, queries, out, memory, k)] + flags
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    tables = b"".join((out / f"{name}.parquet").read_bytes() for name in ("results", "failures"))
    return json.loads(ran.stdout.splitlines()[-1]), hashlib.sha256(tables).hexdigest()


def cluster(stack: ExitStack, folder: Path, workers: int) -> str:
    """The address of a scheduler with workers on this machine, which end with the stack."""
    said = folder / "scheduler.json"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny"]
    commands = [[*scheduler, "--no-dashboard"], *[[*worker, "--no-dashboard"]] * workers]
    for command in commands:
        process = subprocess.Popen(
            [*command, "--scheduler-file", str(said)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        while not said.exists():
            time.sleep(0.1)
    return str(json.loads(said.read_text())["address"])


def main() -> None:
    from lookalike.config.job import Query

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--shards", default="1,4,16,64", help="how many index shards, one after another")
    parser.add_argument("--memory", default="512MiB", help="query.memory of those that are opened in turn")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where the index lies; default a temporary folder")
    parser.add_argument("--workers", type=int, default=0, help="Dask workers to start here; 0 for none")
    parser.add_argument("--dask", help="address of a scheduler to use instead")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    memory = Query.model_validate({"memory": options.memory}).memory
    rows, digests = [], set()
    vectors, queries = clustered(options.vectors, options.queries, dim=DIM)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        asked = pa.array(list(queries), pa.list_(pa.float32()))
        pq.write_table(pa.table({"vector": asked}), folder / "queries.parquet")
        address = options.dask or (cluster(stack, folder, options.workers) if options.workers else None)
        flags = [
            "--runner=dask",
            f"--dask_client_address={address}",
        ]
        for shards in map(int, options.shards.split(",")):
            with tempfile.TemporaryDirectory(dir=folder) as store:
                published(Path(store), vectors, shards)
                ways = [("all open", 1 << 40, []), ("in turn", memory, [])]
                ways += [("workers", memory, flags)] if address else []
                for way, limit, of_way in ways:
                    told, digest = answered(
                        Path(store), folder / "queries.parquet", folder / "out", limit, options.k, of_way
                    )
                    digests.add(digest)
                    rows.append(
                        {
                            "index shards": shards,
                            "way": way,
                            "s": told["seconds"],
                            "queries/s": options.queries / told["seconds"],
                            "peak MiB": told["peak"] / (1 << 20),
                            "tables": digest[:8],
                        }
                    )
                    common.show([(f"{shards} index shards, {way}", rows[-1:])], None)
    title = (
        f"{options.queries:,} queries, {options.vectors:,} x {DIM} vectors, k {options.k}, {options.memory}"
    )
    common.show([(title, rows)], options.json)
    print("every table is the same" if len(digests) == 1 else f"{len(digests)} different tables")
    sys.exit(len(digests) != 1)


if __name__ == "__main__":
    main()
