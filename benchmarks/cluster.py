"""What a Dask cluster gives and costs: two workers against one, and a night on it against one in one process.

    python benchmarks/cluster.py [--data ../shared/data/clothing] [--images 24000] [--rounds 3] [--json FILE]

The scheduler and the workers, of one thread each, are processes on loopback. The corpus is the clothing photographs,
each several times, cropped by some other pixels and encoded again, in TFRecord shards of 128.

Workers: `embed` of an eighth of the images, and of two shards, by clusters of one and of two workers, in turns. Images
a second are told from the difference, so that they hold no start; the ratio is to one worker of the same round. `first
job` is two shards by workers that have just started and import TensorFlow; `start of a job` is what workers that run
take to open the encoder, and this process to plan and to submit.

Nights: the command `lookalike nightly` as a process of its own, into an empty store, on all cores of this machine by
itself and by workers that run, one for each core; in turns. A night on the cluster opens the encoder in every worker.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import common
import nightly
import yaml

from lookalike.embedding.missing import embed_missing
from lookalike.model.cores import cores

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.dask_processes import DaskProcesses

IMAGES_PER_SHARD = 128
_STORES = itertools.count()


class Embedding:
    """The embedding job on a corpus, each time into an empty store.

    Args:
        work: where the corpora and the stores are.
        encoder: folder of the bundle.
    """

    def __init__(self, work: Path, encoder: Path) -> None:
        self._work, self._encoder = work, encoder

    def seconds(self, corpus: str, flags: Sequence[str]) -> float:
        """What it takes with these flags."""
        store = self._work / f"store-{next(_STORES)}"
        shards = self._work / corpus / "shards"
        started = time.perf_counter()
        embed_missing(common.job(shards, self._encoder, store, embed={"threads": 1}), flags)
        return time.perf_counter() - started


def workers(job: Embedding, work: Path, images: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each size of a cluster."""
    with (
        DaskProcesses(work / "dask-one", 1) as one,
        DaskProcesses(work / "dask-two", 2) as two,
    ):
        clusters = {1: one.flags, 2: two.flags}
        first = {number: job.seconds("two", flags) for number, flags in clusters.items()}
        begun: dict[int, list[float]] = {1: [], 2: []}
        taken: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for number, flags in clusters.items():
                begun[number].append(job.seconds("two", flags))
                taken[number].append(job.seconds("few", flags))
    more = images - 2 * IMAGES_PER_SHARD
    rates = {n: [more / (b - a) for a, b in zip(begun[n], taken[n], strict=True)] for n in clusters}
    return [
        {
            "workers": number,
            "first job, s": first[number],
            "start of a job, s": median(begun[number]) - 2 * IMAGES_PER_SHARD / median(rates[number]),
            "images/s": median(rates[number]),
            "of one worker": median(b / a for a, b in zip(rates[1], rates[number], strict=True)),
        }
        for number in clusters
    ]


def nights(work: Path, encoder: Path, images: int, rounds: int) -> list[dict[str, Any]]:
    """A row for the night in one process, and one for that on the cluster."""
    taken: dict[str, list[float]] = {"one process": [], "cluster": []}
    with DaskProcesses(work / "dask-night", cores()) as cluster:
        flags = {"one process": [], "cluster": ["--", *cluster.flags]}
        _night(work, encoder, "few", 1, flags["cluster"])
        for _ in range(rounds):
            for name in taken:
                threads = cores() if name == "one process" else 1
                taken[name].append(_night(work, encoder, "many", threads, flags[name]))
    alone = taken["one process"]
    return [
        {
            "night": name,
            "seconds": median(seconds),
            "images/s": images / median(seconds),
            "more than in one process, %": 100
            * (median(b / a for a, b in zip(alone, seconds, strict=True)) - 1),
        }
        for name, seconds in taken.items()
    ]


def _night(work: Path, encoder: Path, corpus: str, threads: int, flags: Sequence[str]) -> float:
    number = next(_STORES)
    job = {
        "corpus": {"shards": str(work / corpus / "shards")},
        "encoder": str(encoder),
        "store": str(work / f"store-{number}"),
        "embed": {"threads": threads},
    }
    path = work / f"night-{number}.yaml"
    path.write_text(yaml.safe_dump(job))
    started = time.perf_counter()
    command = [sys.executable, "-m", "lookalike", "nightly", "-c", str(path), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
    return time.perf_counter() - started


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=24_000, help="of the nights; an eighth for the workers")
    parser.add_argument("--workers-only", action="store_true", help="no nights")
    parser.add_argument("--rounds", type=int, default=3, help="the tables have their medians")
    arguments = parser.parse_args()
    photographs = sorted(arguments.data.glob("train/*/*.jpg"))
    sizes = {"two": 2, "few": arguments.images // 8 // (2 * IMAGES_PER_SHARD) * 2}
    if not arguments.workers_only:
        sizes["many"] = arguments.images // IMAGES_PER_SHARD
    with tempfile.TemporaryDirectory() as folder:
        work, encoder = Path(folder), Path(folder) / "encoder"
        common.build_default_encoder(encoder, arguments.data)
        for name, shards in sizes.items():
            nightly.Corpus(work / name, photographs, encoder, IMAGES_PER_SHARD).add(max(1, shards))
        images = {name: max(1, shards) * IMAGES_PER_SHARD for name, shards in sizes.items()}
        rows = workers(Embedding(work, encoder), work, images["few"], arguments.rounds)
        tables = [("Workers of one thread", rows)]
        if "many" in images:
            tables.append(("A night", nights(work, encoder, images["many"], arguments.rounds)))
    common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
