"""Quality against speed: networks and sizes of pictures, int8 by TFLite and by OpenVINO, bfloat16, and float.

    python benchmarks/quality_speed.py [--network ...] [--size ...] [--images N] [--plot FILE.png] [--json FILE]
    python benchmarks/quality_speed.py --network efficientnet_lite0 --size 128 224 --images 800

The first takes a quarter of an hour on 2 cores, the second some minutes. Corpus: train/, queries: validation/, an
item is relevant if it is of the query's class; search is exact. Each variant has a projection to 256 dimensions of its
own, fitted on the same photographs; `with OpenVINO's` is the mAP with the projection that a bundle of several variants
has. Rates are of the network with a thread a core, without decoding, variants in turns; the median of the rounds.
bfloat16 is OpenVINO's, of the float network, where the processor has it; no bundle has it as a variant.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import common
import numpy as np
import peer_networks

from lookalike.encoder.build import NetworkChoice, Sample, build_encoder, sample_images
from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.model.encoder.export import BundleRecipe
from lookalike.model.encoder.projection import PCA, Projection, unit_length
from lookalike.model.measuring.retrieval_metrics import average_precision, hit_rate_at_k

VARIANTS = {"int8": "int8, TFLite", "openvino": "int8, OpenVINO", "float": "float, TensorFlow"}
BFLOAT16 = "bfloat16, OpenVINO"
DIM = 256


class Photographs:
    """Pixels (n, 1, height, width, 3) and classes of a folder, for an encoder."""

    def __init__(self, folder: Path, count: int, encoder: Encoder) -> None:
        examples = list(sample_images(Sample(str(folder), images=count)))
        self.classes = np.array([example.label for example in examples])
        with ThreadPoolExecutor(cores()) as pool:
            pixels = pool.map(lambda example: encoder.preprocess.pixels(example.image)[0], examples)
            self.pixels = np.stack(list(pixels))[:, None]


class Bfloat16:
    """The float network of a bundle, computed in bfloat16."""

    def __init__(self, bundle: Path, encoder: Encoder) -> None:
        self._make = peer_networks.openvino(bundle, encoder.preprocess, cores(), "bf16")
        self._of_thread = threading.local()

    @staticmethod
    def is_here() -> bool:
        """Whether this processor has it; elsewhere OpenVINO computes in float32 without a word."""
        import openvino

        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """As `Encoder.features`, for one variant of each picture."""
        if not hasattr(self._of_thread, "run"):
            self._of_thread.run = self._make()
        size, parts = peer_networks.BATCH, []
        for start in range(0, len(pixels), size):
            batch = pixels[start : start + size, 0]
            parts.append(self._of_thread.run(np.resize(batch, (size, *batch.shape[1:])))[: len(batch)])
        return unit_length(np.concatenate(parts))


def features(encoder: Encoder | Bfloat16, pixels: np.ndarray) -> np.ndarray:
    """The features of all pictures, on all cores."""
    parts = np.array_split(pixels, max(1, len(pixels) // (8 * BATCH)))
    with ThreadPoolExecutor(cores()) as pool:
        return np.concatenate(list(pool.map(encoder.features, parts)))


def quality(
    projection: Projection, corpus: np.ndarray, queries: np.ndarray, relevant: np.ndarray
) -> tuple[float, float]:
    """Hit rate at 1 and mAP of exact search, from features and a table (queries, items) of what is relevant."""
    items, asked = (unit_length(projection.apply(part)) for part in (corpus, queries))
    order = np.argsort(-(asked @ items.T), axis=1, kind="stable")
    grades = np.take_along_axis(relevant, order, axis=1).astype(np.int8)
    return float(hit_rate_at_k(grades, 1).mean()), float(
        average_precision(grades, relevant.sum(axis=1)).mean()
    )


def rates(encoders: dict[str, Encoder | Bfloat16], pixels: np.ndarray, rounds: int) -> dict[str, float]:
    """Images a second of each network."""
    seconds: dict[str, list[float]] = {variant: [] for variant in encoders}
    with ThreadPoolExecutor(cores()) as pool:
        for turn in range(rounds + 1):
            for variant, encoder in encoders.items():
                started = time.perf_counter()
                list(pool.map(encoder.features, [pixels] * cores()))
                if turn:  # the first warms up
                    seconds[variant].append(time.perf_counter() - started)
    return {name: cores() * len(pixels) / statistics.median(took) for name, took in seconds.items()}


def measure(
    data: Path, work: Path, network: str, size: int, count: int, rounds: int, instructions: str | None
) -> list[dict[str, Any]]:
    """A row for each variant."""
    spec = f"decode|resize_short({round(size * 8 / 7)})|center_crop({size})|normalize(127,128)"
    folder = work / f"{network}-{size}"
    recipe = BundleRecipe(network, dim=None, variant="openvino", instructions=instructions)
    build_encoder(folder, NetworkChoice(network, preprocessing=spec), Sample(str(data / "train")), recipe)
    bundles = {variant: Encoder.load(folder, variant=variant) for variant in VARIANTS}
    encoders: dict[str, Encoder | Bfloat16] = {**bundles}
    if Bfloat16.is_here():
        encoders["bfloat16"] = Bfloat16(folder, bundles["float"])
    corpus, queries = (Photographs(data / part, count, bundles["int8"]) for part in ("train", "validation"))
    relevant = queries.classes[:, None] == corpus.classes
    found = {v: [features(e, part.pixels) for part in (corpus, queries)] for v, e in encoders.items()}
    projections = {variant: PCA(DIM).fit(of_corpus) for variant, (of_corpus, _) in found.items()}
    speeds = rates(encoders, corpus.pixels[: 8 * BATCH], rounds)
    rows = []
    for variant in encoders:
        hit_rate, mean_precision = quality(projections[variant], *found[variant], relevant)
        rows.append(
            {
                "network": network,
                "pixels": size,
                "variant": VARIANTS.get(variant, BFLOAT16),
                "hit rate at 1": hit_rate,
                "mAP": mean_precision,
                "with OpenVINO's": quality(projections["openvino"], *found[variant], relevant)[1],
                "images/s": speeds[variant],
                "of float": speeds[variant] / speeds["float"],
            }
        )
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """mAP over images/s: a line for each network and variant, its points the sizes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    networks, titles = (list(dict.fromkeys(row[key] for row in rows)) for key in ("network", "variant"))
    for network in networks:
        for title in titles:
            line = [row for row in rows if (row["network"], row["variant"]) == (network, title)]
            axes.plot(
                [row["images/s"] for row in line],
                [row["mAP"] for row in line],
                marker="os^"[networks.index(network) % 3],
                color=f"C{titles.index(title)}",
                linestyle=("-", "--", ":")[networks.index(network) % 3],
                label=f"{network}, {title}",
            )
            for row in line:
                axes.annotate(
                    row["pixels"],
                    (row["images/s"], row["mAP"]),
                    fontsize=7,
                    xytext=(3, 3),
                    textcoords="offset points",
                )
    axes.set(xscale="log", xlabel="images/s of the network, logarithmic", ylabel="mAP, no training")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    lites = [f"efficientnet_lite{number}" for number in range(3)]
    parser.add_argument("--network", nargs="+", default=lites)
    parser.add_argument("--size", nargs="+", type=int, default=[128, 176, 224, 260])
    parser.add_argument("--images", type=int, default=100_000, help="photographs of each folder at the most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instructions", help="avx2 or amx; default: the fastest of this machine")
    parser.add_argument("--plot", type=Path, help="also draw a picture")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for network in asked.network:
        for size in asked.size:
            with tempfile.TemporaryDirectory() as work:
                found = measure(
                    asked.data, Path(work), network, size, asked.images, asked.rounds, asked.instructions
                )
            rows += found
            print(
                *(f"{row['variant']} {row['mAP']:.3f} {row['images/s']:.0f}/s" for row in found),
                network,
                size,
                flush=True,
            )
    common.show([("Quality against speed on the clothing photographs, no training", rows)], asked.json)
    if asked.plot:
        plot(rows, asked.plot)


if __name__ == "__main__":
    main()
