"""What a night costs when nothing, little or something changed, against the first one that does everything.

    python benchmarks/nightly.py [--data ../shared/data/clothing] [--times 8] [--rounds 5] [--json FILE]

The corpus is every clothing photograph eight times, each time cropped by some other pixels and encoded again, so that
no two are alike: about 25,000 images in TFRecord shards of 512. Every row is the command `lookalike nightly` as a
process of its own, its start included, on one store:
  first              all is embedded and indexed
  unchanged          the same again
  all shards renamed the same records, every file under another name
  as WebDataset      the same images, packed in another format; the rows behind it are of that, too
  1 % changed        as many images replaced, all in one shard; the median of three nights, each with others
  1 shard added      512 images, 2 % of the corpus; the median of three nights, each after one without the last
  8 shards added     4,096 images, 17 % of the corpus
  unchanged, 1/8     nothing to do on an eighth of the images in as many shards
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import common
import simplejpeg
import yaml

from lookalike.model.cores import cores
from lookalike.sources import FileFormat
from lookalike.sources.pack import pack

IMAGES_PER_SHARD = 512
TURNS = 3


def variant(photograph: Path, number: int) -> bytes:
    """The photograph without `number` rows and columns of pixels, encoded again."""
    pixels = simplejpeg.decode_jpeg(photograph.read_bytes())
    return bytes(simplejpeg.encode_jpeg(pixels[number:, number:].copy(), quality=90))


class Corpus:
    """Shards of a fixed number of images in one folder; image i is the same however they are cut.

    Args:
        work: where its images, shards, store and job file are.
        photographs: what the images are made from.
        encoder: folder of the bundle.
    """

    def __init__(self, work: Path, photographs: Sequence[Path], encoder: Path, images_per_shard: int) -> None:
        self._work, self._photographs, self._per_shard = work, photographs, images_per_shard
        self.shards = 0
        self._format: FileFormat = "tfrecord"
        work.mkdir()
        settings = {"corpus": {"shards": str(work / "shards")}, "encoder": str(encoder)}
        self._config = work / "job.yaml"
        self._config.write_text(yaml.safe_dump({**settings, "store": str(work / "store")}))

    def write(self, shard: int, changed: int = 0, turn: int = 1) -> None:
        """Writes a shard; the first `changed` of its images are others than usual, and others each turn."""
        images = self._work / "images"
        images.mkdir()
        first = shard * self._per_shard

        def make(i: int) -> None:
            times, number = divmod(i, len(self._photographs))
            content = variant(self._photographs[number], times + (40 * turn if i < first + changed else 0))
            (images / f"{i:08}.jpg").write_bytes(content)

        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(make, range(first, first + self._per_shard)))
        pack(
            str(images),
            str(self._work / "shards" / f"{shard:05}"),
            format=self._format,
            images_per_shard=1 << 20,
        )
        for path in images.iterdir():
            path.unlink()
        images.rmdir()

    def add(self, shards: int, turn: int = 0) -> None:
        """Adds shards at the end, of the usual images in turn 0."""
        for _ in range(shards):
            self.write(self.shards, self._per_shard if turn else 0, turn)
            self.shards += 1

    def remove_last(self) -> None:
        """Removes the last shard."""
        self.shards -= 1
        shutil.rmtree(self._work / "shards" / f"{self.shards:05}")

    def rename(self) -> None:
        """Gives every shard another name."""
        for folder in sorted((self._work / "shards").iterdir()):
            folder.rename(folder.with_name(f"renamed-{folder.name}"))

    def pack_as(self, format: FileFormat) -> None:
        """Writes all shards in another format."""
        shutil.rmtree(self._work / "shards")
        self._format = format
        for shard in range(self.shards):
            self.write(shard)

    def nightly(self) -> dict[str, Any]:
        """Runs the command. Gives what it took and what its report says."""
        command = [sys.executable, "-m", "lookalike", "nightly", "-c", str(self._config)]
        os.sync()  # or the command would wait for what was written here
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{command} failed: {done.stderr}")
        report = json.loads((self._work / "store" / "reports" / "latest.json").read_text())
        return {
            "seconds": seconds,
            "images embedded": report["records"]["embedded"],
            "of": report["records"]["read"],
            "shards read": report["shards"]["read"],
            "indexes built": report["indexes"]["built"],
            "indexes grown": report["indexes"]["grown"],
            "index, s": report["seconds"]["index"],
            "peak memory, MiB": report["peak_memory_bytes"] / 2**20,
        }


def of_median(nights: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The night of the median seconds, of an odd number of nights that did alike."""
    return sorted(nights, key=lambda night: night["seconds"])[len(nights) // 2]


def unchanged(corpus: Corpus, rounds: int) -> dict[str, Any]:
    """The median of some nights in which there is nothing to do."""
    nights = [corpus.nightly() for _ in range(rounds)]
    assert not any(night["shards read"] or night["indexes built"] for night in nights)
    return of_median(nights)


def nights(
    photographs: Sequence[Path], encoder: Path, work: Path, times: int, rounds: int
) -> list[dict[str, Any]]:
    """One row for every kind of night."""
    shards = times * len(photographs) // IMAGES_PER_SHARD
    corpus = Corpus(work / "corpus", photographs, encoder, IMAGES_PER_SHARD)
    corpus.add(shards)
    found = {"first": corpus.nightly()}
    found["unchanged"] = unchanged(corpus, rounds)
    corpus.rename()
    found["all shards renamed"] = corpus.nightly()
    corpus.pack_as("webdataset")
    found["packed as WebDataset"] = corpus.nightly()
    changes = []
    for turn in range(1, TURNS + 1):
        corpus.write(shards // 2, shards * IMAGES_PER_SHARD // 100, turn)
        changes.append(corpus.nightly())
    found["1 % changed, in one shard"] = of_median(changes)
    additions = []
    for turn in range(1, TURNS + 1):
        if additions:
            corpus.remove_last()
            corpus.nightly()
        corpus.add(1, turn)
        additions.append(corpus.nightly())
    found["1 shard added"] = of_median(additions)
    corpus.add(8)
    found["8 shards added"] = corpus.nightly()
    small = Corpus(work / "small", photographs, encoder, IMAGES_PER_SHARD // 8)
    small.add(shards)
    small.nightly()
    found["unchanged, 1/8 of the images in as many shards"] = unchanged(small, rounds)
    first = found["first"]["seconds"]
    return [
        {"night": name, "of the first": night["seconds"] / first, **night} for name, night in found.items()
    ]


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--times", type=int, default=8, help="how often every photograph is in the corpus")
    parser.add_argument(
        "--rounds", type=int, default=5, help="nights without a change; the table has their median"
    )
    arguments = parser.parse_args()
    photographs = sorted(arguments.data.glob("train/*/*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        work, encoder = Path(folder), Path(folder) / "encoder"
        common.build_default_encoder(encoder, arguments.data)
        rows = nights(photographs, encoder, work, arguments.times, arguments.rounds)
    common.show([("Nights", rows)], arguments.json)


if __name__ == "__main__":
    main()
