"""Retrieval quality on the clothing photographs without any training, int8 and float, through the whole job.

    python benchmarks/quality.py [--data ../shared/data/clothing] [--json FILE]

The corpus is train/, the queries are validation/; an item is relevant if it is of the query's class. Packs the
corpus, builds an encoder on it, runs `nightly` and `query` with k as large as the corpus, and prints hit rate at
1, at 10, and mean average precision.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
import duckdb
import numpy as np

from model.metrics import average_precision, hit_rate_at_k
from pipelines.encoder_build import build_encoder
from pipelines.nightly import nightly
from pipelines.pack import pack
from pipelines.query import query
from pipelines.sources import SourceOptions


def measure(data: Path, work: Path, network: str, variant: str) -> dict[str, object]:
    """One row of the table: the whole job with one encoder."""
    shards, encoder = work / "shards", work / f"{network}-{variant}"
    if not shards.exists():
        pack(str(data / "train"), str(shards), format="tfrecord", images_per_shard=512)
    built = build_encoder(
        encoder, network=network, sample=str(shards), options=SourceOptions(), variant=variant
    )
    job = common.job(shards, encoder, work / f"store-{network}-{variant}")
    nightly(job)
    items = len(list((data / "train").glob("*/*.jpg")))
    answers = query(job, str(data / "validation"), str(work / f"out-{network}-{variant}"), k=items)
    rows = duckdb.sql(
        f"SELECT query_id, list(split_part(item_id, '/', 1) ORDER BY rank) FROM '{answers.results}' GROUP BY query_id"
    ).fetchall()
    relevant = np.array([[label == query_id.split("/")[0] for label in labels] for query_id, labels in rows])
    return {
        "network": network,
        "variant": variant,
        "queries": len(rows),
        "hit rate at 1": hit_rate_at_k(relevant, 1),
        "hit rate at 10": hit_rate_at_k(relevant, 10),
        "mAP": float(average_precision(relevant, relevant.sum(axis=1)).mean()),
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
