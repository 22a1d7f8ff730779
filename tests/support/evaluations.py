"""Evaluations of a few queries, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.evaluate.job import Evaluation
from lookalike.evaluate.measurements import LEFT_OUT_SCHEMA
from lookalike.model.encoder.post_processing import PostProcessing


def per_query(
    ids: Sequence[str], classes: Sequence[str | None] | None = None, **metrics: Sequence[float]
) -> pa.Table:
    """A row for each query, with two relevant items each and these metrics."""
    return pa.table(
        {
            "query_id": pa.array(ids, pa.string()),
            "class": pa.array(classes or [None] * len(ids), pa.string()),
            "relevant": pa.array([2] * len(ids), pa.int64()),
            **{name: pa.array(values, pa.float64()) for name, values in metrics.items()},
        }
    )


def evaluation(
    table: pa.Table,
    class_items: Mapping[str, int] | None = None,
    left_out: Sequence[tuple[str, str]] = (),
    **fields: Any,
) -> Evaluation:
    """An evaluation that measured `table`; `left_out` are pairs of query id and reason."""
    generation = SimpleNamespace(
        name="20260101T000000Z-1", encoder="e" * 64, encoder_name="tiny", metric="cosine"
    )
    rows = [(query_id, reason, "") for query_id, reason in left_out]
    usual: dict[str, Any] = {
        "name": "job",
        "setup": "all",
        "queries": "queries/",
        "generation": generation,
        "steps": PostProcessing(),
        "items": 30,
        "class_items": class_items or {},
        "per_query": table,
        "left_out": pa.table(list(zip(*rows, strict=True)) or [()] * 3, schema=LEFT_OUT_SCHEMA),
        "curve": np.linspace(1, 0, 11),
        "self_matches": 0,
        "unknown_items": [],
        "unknown_queries": [],
    }
    return Evaluation(**usual | fields)
