"""One OpenVINO network computed with different instructions: which vectors may be compared?

    python benchmarks/instructions.py [--images N] [--limit AVX512_CORE_VNNI AVX2 amx ...] [--json FILE]

Each limit is a process of its own with ONEDNN_MAX_CPU_ISA, `amx` one without a limit, for a processor that has it. The
corpus, train/, is computed with the first; the queries, validation/, with each. Some three minutes on 2 cores with 800.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import common
import numpy as np
from quality_speed import DIM, Photographs, quality

from lookalike.encoder.build import NetworkChoice, Sample, build_encoder
from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.model.encoder.export import BundleRecipe
from lookalike.model.encoder.manifest import OPENVINO, WEIGHTS
from lookalike.model.encoder.openvino import AMX, AVX2, OpenVinoNetwork, best_instructions
from lookalike.model.encoder.projection import PCA, unit_length

LIMITS = ["AVX512_CORE_VNNI", "AVX512_CORE", "AVX2_VNNI", "AVX2"]


def computed(folder: Path, limit: str, parts: list[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """Unit-length features of pictures (n, height, width, 3), and milliseconds of one thread an image."""
    os.environ.pop("ONEDNN_MAX_CPU_ISA", None)
    if limit != AMX:
        os.environ["ONEDNN_MAX_CPU_ISA"] = limit
    xml, weights = ((folder / name).read_bytes() for name in (OPENVINO, WEIGHTS))
    network = OpenVinoNetwork(xml, weights, folder, BATCH, AMX if limit == AMX else AVX2)
    found, seconds = [], []
    for pixels in parts:
        rows = []
        for at in range(0, len(pixels), BATCH):
            started = time.thread_time()
            rows.append(network.run(pixels[at : at + BATCH], None))
            seconds.append(time.thread_time() - started)
        found.append(unit_length(np.concatenate(rows)))
    return found, 1000 * float(np.median(seconds)) / BATCH


def in_common(ours: np.ndarray, theirs: np.ndarray, k: int = 10) -> float:
    """The share of the first k items (queries, items) that both scores have."""
    pairs = zip(*(np.argsort(-scores, axis=1)[:, :k] for scores in (ours, theirs)), strict=True)
    return float(np.mean([len(np.intersect1d(one, other)) / k for one, other in pairs]))


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=800, help="photographs of each folder at the most")
    parser.add_argument(
        "--limit", nargs="+", default=[*LIMITS, *([AMX] if best_instructions() == AMX else [])]
    )
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "encoder")
        recipe = BundleRecipe("lite0", dim=None, variant="openvino", instructions=AVX2)
        build_encoder(folder, NetworkChoice(), Sample(str(asked.data / "train")), recipe)
        encoder = Encoder.load(folder, variant="int8")
        corpus, queries = (
            Photographs(asked.data / part, asked.images, encoder) for part in ("train", "validation")
        )
        relevant = queries.classes[:, None] == corpus.classes
        parts = [corpus.pixels[:, 0], queries.pixels[:, 0]]
        found = {}
        for limit in asked.limit:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found[limit] = pool.submit(computed, folder, limit, parts).result()
    (items, first), _ = found[asked.limit[0]]
    projection = PCA(DIM).fit(items)
    projected = {limit: unit_length(projection.apply(vectors[1])) for limit, (vectors, _) in found.items()}
    corpus_vectors = unit_length(projection.apply(items))
    for limit, ((_, features), milliseconds) in found.items():
        cosines = (projected[limit] * projected[asked.limit[0]]).sum(axis=1)
        hit_rate, mean_precision = quality(projection, items, features, relevant)
        rows.append(
            {
                "queries with": limit,
                "same bits": str(np.array_equal(features, first)),
                "mean cosine": float(cosines.mean()),
                "least": float(cosines.min()),
                "top 10 in common": in_common(
                    projected[limit] @ corpus_vectors.T, projected[asked.limit[0]] @ corpus_vectors.T
                ),
                "hit rate at 1": hit_rate,
                "mAP": mean_precision,
                "ms an image": milliseconds,
            }
        )
    common.show([(f"A corpus computed with {asked.limit[0]}", rows)], asked.json)


if __name__ == "__main__":
    main()
