"""Retrieval quality on the clothing photographs without any training, int8 and float, through the whole job.

    python benchmarks/quality.py [--data ../shared/data/clothing] [--json FILE]

The corpus is train/, the queries are validation/; an item is relevant if it is of the query's class. Packs the
corpus, builds an encoder on it, runs `nightly` and `evaluate`, and prints hit rate at 1, at 10, and mean average
precision.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
import pyarrow.compute as pc

from lookalike.encoder.build import NetworkChoice, Sample, build_encoder
from lookalike.evaluate.job import evaluate
from lookalike.model.encoder.export import BundleRecipe
from lookalike.nightly.run import nightly
from lookalike.sources.pack import pack


def measure(data: Path, work: Path, network: str, variant: str) -> dict[str, object]:
    """One row of the table: the whole job with one encoder."""
    shards, encoder = work / "shards", work / f"{network}-{variant}"
    if not shards.exists():
        pack(str(data / "train"), str(shards), format="tfrecord", images_per_shard=512)
    built = build_encoder(
        encoder, NetworkChoice(network), Sample(str(shards)), BundleRecipe(network, variant=variant)
    )
    job = common.job(shards, encoder, work / f"store-{network}-{variant}")
    nightly(job)
    (found,) = evaluate(job, str(data / "validation"), "directory")
    queries = found.per_query
    return {
        "network": network,
        "variant": variant,
        "queries": len(queries),
        "hit rate at 1": pc.mean(queries["hit_rate@1"]).as_py(),
        "hit rate at 10": pc.mean(queries["hit_rate@10"]).as_py(),
        "mAP": pc.mean(queries["map"]).as_py(),
        "int8-float cosine": built.agreement,
    }


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--network", nargs="+", default=["efficientnet_lite0"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = [
            measure(arguments.data, Path(work), network, variant)
            for network in arguments.network
            for variant in ("int8", "float")
        ]
    common.show([("Retrieval by class on the clothing photographs, no training", rows)], arguments.json)


if __name__ == "__main__":
    main()
