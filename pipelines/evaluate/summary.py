"""What evaluations come to: means with intervals, classes, and the difference between two jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.encoder.post_processing import post_processing_json
from lookalike.model.measuring.significance import (
    bootstrap_difference,
    bootstrap_interval,
    randomisation_test,
)

from .calibration import figures
from .job import Evaluation, left_out_counts

SEED = 0
"""Of the bootstrap and the randomisation test."""
GROUPS = ("head", "middle", "tail")
HEAD_OVER, TAIL_UNDER = 100, 20
"""Items of a class in the corpus. Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World",
CVPR 2019: many-shot, medium-shot and few-shot classes."""
_SHOWN = 10


@dataclass(frozen=True)
class ClassSizes:
    """A class of more than `head_over` items is of the head, one of fewer than `tail_under` of the tail."""

    head_over: int = HEAD_OVER
    tail_under: int = TAIL_UNDER

    def group(self, items: int) -> str:
        """One of `GROUPS`."""
        return GROUPS[0] if items > self.head_over else GROUPS[2] if items < self.tail_under else GROUPS[1]


def metrics_of(table: pa.Table) -> list[str]:
    """The columns of a table of queries or classes that are metrics: all of its fractions."""
    return [field.name for field in table.schema if pa.types.is_float64(field.type)]


def values_of(table: pa.Table) -> np.ndarray:
    """The metrics of a table of queries or classes: float64 (rows, metrics)."""
    columns = [table[name].to_numpy() for name in metrics_of(table)]
    return np.column_stack(columns) if columns else np.empty((len(table), 0))


def per_class(evaluation: Evaluation, sizes: ClassSizes) -> pa.Table:
    """The mean of every metric over the queries of each class; empty without classes.

    Returns:
        Table of `class`, `items` in the corpus, `queries`, `group`, each metric; the largest class first.
    """
    names = metrics_of(evaluation.per_query)
    measured = evaluation.per_query.filter(pc.is_valid(evaluation.per_query["class"]))
    means = measured.group_by("class").aggregate([("query_id", "count"), *((name, "mean") for name in names)])
    items = [evaluation.class_items.get(name, 0) for name in means["class"].to_pylist()]
    columns = {
        "class": means["class"].cast(pa.string()),
        "items": pa.array(items, pa.int64()),
        "queries": means["query_id_count"],
        "group": pa.array([sizes.group(count) for count in items], pa.string()),
        **{name: means[f"{name}_mean"] for name in names},
    }
    return pa.table(columns).sort_by([("items", "descending"), ("class", "ascending")])


def summary(evaluation: Evaluation, classes: pa.Table, resamples: int) -> dict[str, Any]:
    """One evaluation as JSON: counts, groups of classes, metrics, the precision-recall curve.

    A metric has its `mean` over queries (micro) and the 95 % bootstrap interval of that, `low` and `high`; with
    classes also the mean over classes (`macro`), and over those of `head`, `middle` and `tail`.
    """
    generation, table = evaluation.generation, evaluation.per_query
    counts = left_out_counts(evaluation)
    return {
        "job": evaluation.name,
        "setup": evaluation.setup,
        "queries": evaluation.queries,
        "generation": generation.name,
        "encoder": generation.encoder_name,
        "encoder_fingerprint": generation.encoder,
        "metric": generation.metric,
        "retrieval": post_processing_json(evaluation.steps),
        "items": evaluation.items,
        "counts": {
            "read": len(table) + len(evaluation.left_out),
            "measured": len(table),
            **counts,
            "without_class": table["class"].null_count if evaluation.class_items else 0,
            "self_matches": evaluation.self_matches,
            "unknown_items": len(evaluation.unknown_items),
            "unknown_queries": len(evaluation.unknown_queries),
        },
        "unknown": {
            "items": evaluation.unknown_items[:_SHOWN],
            "queries": evaluation.unknown_queries[:_SHOWN],
        },
        "classes": {
            "in_corpus": len(evaluation.class_items),
            **{group: _size(classes.filter(pc.equal(classes["group"], group))) for group in GROUPS},
        },
        "metrics": _metrics(table, classes, resamples),
        "calibration": figures(evaluation.calibrated) if evaluation.calibrated else None,
        "precision_recall": None if evaluation.curve is None else evaluation.curve.tolist(),
    }


def _size(classes: pa.Table) -> dict[str, int]:
    return {"classes": len(classes), "queries": pc.sum(classes["queries"]).as_py() or 0}


def _metrics(table: pa.Table, classes: pa.Table, resamples: int) -> dict[str, dict[str, Any]]:
    if not len(table):
        return {}
    values, of_classes = values_of(table), values_of(classes)
    low, high = bootstrap_interval(values, resamples=resamples, seed=SEED)
    columns: dict[str, np.ndarray] = {"mean": values.mean(axis=0), "low": low, "high": high}
    group = np.array(classes["group"].to_pylist())
    for name in ("macro", *GROUPS):
        members = of_classes[group == name] if name != "macro" else of_classes
        if len(members):
            columns[name] = members.mean(axis=0)
    return {
        metric: {name: float(column[i]) for name, column in columns.items()}
        for i, metric in enumerate(metrics_of(table))
    }


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a job, and what it measured in one set-up."""

    job: str
    setup: str
    queries: str
    per_query: pa.Table


def compare(first: Side, second: Side, *, paired: bool, resamples: int) -> dict[str, Any] | None:
    """The difference second - first of every metric that both have, as JSON; None where nothing can be compared.

    Paired, it is that of the queries which both have measured, with the interval of its mean and the p of the
    randomisation test. Else the two sets of queries are taken as they are, with the interval alone.
    """
    names = [name for name in metrics_of(first.per_query) if name in metrics_of(second.per_query)]
    sides = [side.per_query for side in (first, second)]
    if paired:
        places = pc.index_in(sides[0]["query_id"], sides[1]["query_id"])
        sides = [sides[0].filter(pc.is_valid(places)), sides[1].take(places.drop_null())]
    if not all(map(len, sides)) or not names:
        return None
    before, after = (values_of(side.select(names)) for side in sides)
    if paired:
        low, high = bootstrap_interval(after - before, resamples=resamples, seed=SEED)
        p: Sequence[float | None] = randomisation_test(after - before, rounds=resamples, seed=SEED).tolist()
        other_total = int((sides[0]["relevant"].to_numpy() != sides[1]["relevant"].to_numpy()).sum())
    else:
        low, high = bootstrap_difference(before, after, resamples=resamples, seed=SEED)
        p, other_total = [None] * len(names), 0
    return {
        "first": first.job,
        "second": second.job,
        "setup": first.setup,
        "paired": paired,
        "queries": [len(side) for side in sides],
        "mean_relevant": [float(pc.mean(side["relevant"]).as_py()) for side in sides],
        "not_in_both": [len(s.per_query) - len(kept) for s, kept in zip((first, second), sides, strict=True)],
        "other_relevant": other_total,
        "metrics": {
            name: _difference(before[:, i].mean(), after[:, i].mean(), low[i], high[i], p[i])
            for i, name in enumerate(names)
        },
    }


def _difference(
    first: np.floating, second: np.floating, low: float, high: float, p: float | None
) -> Mapping[str, float | None]:
    difference = float(second - first)
    relative = difference / float(first) if first else None
    return {
        "first": float(first),
        "second": float(second),
        "difference": difference,
        "relative": relative,
        "low": float(low),
        "high": float(high),
        "p": p,
    }


def comparisons(sides: Sequence[Side], against: Sequence[Side], resamples: int) -> list[dict[str, Any]]:
    """Every job with the first one, set-up by set-up.

    Jobs that answered the same queries are compared query by query, others are not: that is transfer to another
    domain. With `against`, an earlier evaluation, that is the first, always compared query by query.
    """
    found = []
    for setup in dict.fromkeys(side.setup for side in sides):
        here = [side for side in sides if side.setup == setup]
        earlier = [side for side in against if side.setup == setup]
        first, *others = [*earlier, *here]
        for other in others:
            paired = bool(earlier) or other.queries == first.queries
            found.append(compare(first, other, paired=paired, resamples=resamples))
    return [comparison for comparison in found if comparison is not None]
