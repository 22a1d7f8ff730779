"""What `import lookalike` costs a program beside the work: the same images by each way in, a search at a time.

    python benchmarks/python_api.py [--images 200] [--rounds 5] [--json FILE]

In turns, the median of the rounds, so that a busy machine slows all of them alike:
  job               the threads of the jobs, on bytes that are in memory
  bytes, paths, PIL images, arrays   Encoder.encode
  one vector, one image              Store.search, a query a call, against as many in one call
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import common
import numpy as np
from PIL import Image

import lookalike
from lookalike.model.encoder.bundle import BATCH

IMPORT = "import time; s = time.perf_counter(); import lookalike; print(time.perf_counter() - s)"
ASKED = 50


def timed(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Way -> seconds, the median of the rounds, all ways in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(found) for name, found in seconds.items()}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    paths = sorted(options.data.glob("validation/*/*.jpg"))[: options.images]
    data = [path.read_bytes() for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        common.build_default_encoder(work / "encoder", options.data)
        encoder = lookalike.open_encoder(work / "encoder")
        pictures = [Image.open(io.BytesIO(one)).convert("RGB") for one in data]
        arrays = [np.asarray(picture) for picture in pictures]
        batches = [data[start : start + BATCH] for start in range(0, len(data), BATCH)]
        encoding = timed(
            {
                "job": lambda: list(encoder.bundle.map(batches)),
                "bytes": lambda: encoder.encode(data),
                "paths": lambda: encoder.encode(paths),
                "PIL images": lambda: encoder.encode(pictures),
                "arrays": lambda: encoder.encode(arrays),
            },
            options.rounds,
        )
        (work / "photographs").mkdir()
        for path in paths:
            (work / "photographs" / path.name).symlink_to(path.resolve())
        settings = {"corpus": {"shards": str(work / "photographs"), "follow_links": True}}
        job = lookalike.open_job({**settings, "encoder": work / "encoder", "store": work / "store"})
        job.nightly()
        with job.open_store() as store:
            vectors = encoder.encode(data[:ASKED])
            store.search(vectors=vectors)
            searching = timed(
                {
                    f"{ASKED} vectors, a call each": lambda: [store.search(vectors=one) for one in vectors],
                    f"{ASKED} vectors, one call": lambda: store.search(vectors=vectors),
                    f"{ASKED} images, a call each": lambda: [store.search(one) for one in data[:ASKED]],
                    f"{ASKED} images, one call": lambda: store.search(data[:ASKED]),
                },
                options.rounds,
            )
    importing = [
        float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True).stdout)
        for _ in range(options.rounds)
    ]
    common.show(
        [
            ("import", [{"median ms": 1e3 * median(importing)}]),
            (
                "Encoder.encode",
                [
                    {"way": way, "images/s": len(data) / seconds, "of the job's": encoding["job"] / seconds}
                    for way, seconds in encoding.items()
                ],
            ),
            (
                "Store.search",
                [{"queries": way, "ms a query": 1e3 * seconds / ASKED} for way, seconds in searching.items()],
            ),
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
