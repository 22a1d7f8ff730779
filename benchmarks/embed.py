"""Throughput and memory of the embedding job, side by side with what people write by hand.

    python benchmarks/embed.py [--data ../shared/data/clothing] [--rounds 3] [--json FILE]

Throughput: images a second over the clothing photographs, all in this one process, warmed up, in turns:
  job          the Beam job on TFRecord and on WebDataset shards: reading, decoding, network, writing
  bare loop    photographs in memory, decode and int8 network, one thread a core, nothing else
  PIL, 32      PIL, and the float SavedModel in batches of 32
  PIL, 1       the same, one image at a time
The table gives the median of the rounds, and the job's ratio to the others, which is what should be compared.

Memory: peak resident memory of `lookalike embed` as a process of its own, on the corpus once and eight times.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import common
import numpy as np
import yaml
from PIL import Image

from lookalike.embedding.missing import embed_missing
from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.sources.pack import pack

IMAGES_PER_SHARD = 256


def bare_loop(images: Sequence[bytes], encoder: Encoder, model: Path) -> Callable[[], int]:
    """Decode and int8 network, one thread a core, each with its own interpreter of one thread."""
    import tensorflow as tf

    def work(part: Sequence[bytes]) -> None:
        interpreter = tf.lite.Interpreter(str(model), num_threads=1)
        source = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(source["index"], [BATCH, *source["shape"][1:]])
        interpreter.allocate_tensors()
        target = interpreter.get_output_details()[0]["index"]
        pixels = np.zeros((BATCH, *source["shape"][1:]), np.uint8)
        for start in range(0, len(part), BATCH):
            for i, image in enumerate(part[start : start + BATCH]):
                pixels[i] = encoder.preprocess.pixels(image)[0]
            interpreter.set_tensor(source["index"], pixels)
            interpreter.invoke()
            interpreter.get_tensor(target)

    def run() -> int:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(work, [images[i :: cores()] for i in range(cores())]))
        return len(images)

    return run


def by_hand(images: Sequence[bytes], model: Path, batch: int) -> Callable[[], int]:
    """PIL and the float SavedModel, `batch` images a call."""
    import tensorflow as tf

    network = tf.saved_model.load(str(model))

    def pixels(image: bytes) -> np.ndarray:
        picture = Image.open(io.BytesIO(image)).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.BILINEAR
        )
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        return (np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32) - 127) / 128

    def run() -> int:
        for start in range(0, len(images), batch):
            network.serve(np.stack([pixels(image) for image in images[start : start + batch]])).numpy()
        return len(images)

    return run


def job(shards: Path, encoder: Path, work: Path) -> Callable[[], int]:
    """The embedding job into a new store."""

    def run() -> int:
        store = work / "store"
        shutil.rmtree(store, ignore_errors=True)
        return embed_missing(common.job(shards, encoder, store)).counts["embedded"]

    return run


def throughput(data: Path, work: Path, encoder: Path, rounds: int) -> list[dict[str, Any]]:
    """Images a second of every way, in turns."""
    paths = sorted((data / "train").glob("*/*.jpg"))
    images = [path.read_bytes() for path in paths]
    spread = images[:: max(1, len(images) // 512)]
    for form in ("tfrecord", "webdataset"):
        pack(str(data / "train"), str(work / form), format=form, images_per_shard=IMAGES_PER_SHARD)
    opened = Encoder.load(encoder)
    ways = {
        "job, TFRecord": job(work / "tfrecord", encoder, work),
        "bare loop, int8, a thread a core": bare_loop(images, opened, encoder / "int8.tflite"),
        "job, WebDataset": job(work / "webdataset", encoder, work),
        "PIL, float SavedModel, batches of 32": by_hand(spread, encoder / "saved_model", 32),
        "PIL, float SavedModel, one at a time": by_hand(spread[::2], encoder / "saved_model", 1),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for warm in [True] + [False] * rounds:
        for name, way in ways.items():
            started = time.perf_counter()
            count = way()
            if not warm:
                rates[name].append(count / (time.perf_counter() - started))
    best = median(rates["job, TFRecord"])
    return [
        {
            "way": name,
            "images/s": median(rate),
            "lowest": min(rate),
            "highest": max(rate),
            "job, TFRecord : this": best / median(rate),
        }
        for name, rate in rates.items()
    ]


def _peak_memory(pid: int) -> float:
    """MiB. From /proc: what `getrusage` gives for a child begins with the size of its parent."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def memory(work: Path, encoder: Path) -> list[dict[str, Any]]:
    """Peak resident memory of the command, on the corpus once and eight times."""
    rows = []
    for times in (1, 8):
        corpus = work / f"times-{times}"
        for copy in range(times):
            (corpus / str(copy)).mkdir(parents=True)
            for shard in (work / "tfrecord").glob("*.tfrecord"):
                (corpus / str(copy) / shard.name).symlink_to(shard)
        config = work / f"times-{times}.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "corpus": {"shards": str(corpus)},
                    "encoder": str(encoder),
                    "store": str(work / f"store-{times}"),
                }
            )
        )
        command = [sys.executable, "-m", "lookalike", "embed", "-c", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _peak_memory(process.pid))
            time.sleep(0.1)
        if process.returncode:
            raise SystemExit(f"{command} failed")
        rows.append(
            {"corpus": f"{times} x", "shards": len(list(corpus.glob("*/*"))), "peak memory, MiB": peak}
        )
    for row in rows:
        row["ratio"] = row["peak memory, MiB"] / rows[0]["peak memory, MiB"]
    return rows


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["throughput", "memory"])
    arguments = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        work, encoder = Path(folder), Path(folder) / "encoder"
        common.build_default_encoder(encoder, arguments.data)
        if arguments.only != "memory":
            rows = throughput(arguments.data, work, encoder, arguments.rounds)
            tables.append(("Embedding throughput", rows))
        if arguments.only != "throughput":
            if not (work / "tfrecord").exists():
                source = str(arguments.data / "train")
                pack(source, str(work / "tfrecord"), format="tfrecord", images_per_shard=IMAGES_PER_SHARD)
            tables.append(("Peak memory of `lookalike embed`", memory(work, encoder)))
    common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
