"""Measures the rankings of queries: which metrics, how they are added up, and which queries are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.measuring import retrieval_metrics as metrics

from ..store.index_manifest import ITEM_ID
from .labels import Labels, as_text
from .ranking import RankedCorpus, Ranking

TOP = 5
"""Items that are kept of each ranking, to show it."""
LEFT_OUT_SCHEMA = pa.schema([("query_id", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
REASONS = ("failed", "unjudged", "lone")
"""Why a query is not measured: it has no vector; nothing says what is relevant to it; nothing that is, is there."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        ks: cut-offs of the metrics at K.
        exponential: gain 2^grade - 1 in nDCG, not the grade.
        keep_self: leave the item whose id is the query's own in the ranking.
        difficulty: measure easy, medium and hard of a file of judgements by themselves.
        classes: field whose values are the classes; None takes the one that relevance goes by.
        calibrate: fit the probability that a match is relevant; not with `difficulty`.
    """

    ks: tuple[int, ...] = (1, 5, 10)
    exponential: bool = False
    keep_self: bool = False
    difficulty: bool = False
    classes: str | None = None
    calibrate: bool = False


def metric_names(settings: Settings) -> list[str]:
    """The metrics, in the order in which they are shown."""
    at_k = [f"{name}@{k}" for name in ("hit_rate", "precision", "recall", "ndcg") for k in settings.ks]
    until_last = [f"precision_until_last@{k}" for k in settings.ks] if settings.difficulty else []
    return ["map", "map_trapezoid", "map@r", "r_precision", "mrr", *at_k, *until_last]


def measure(grades: np.ndarray, settings: Settings) -> dict[str, np.ndarray]:
    """All metrics of rankings of the whole corpus: name -> float64 (queries,). Names are those of trec_eval.

    Args:
        grades: (queries, items), in order of rank, at least one above 0 in each row.
        settings: which K, which gain.
    """
    totals = (grades > 0).sum(axis=1)
    ideal = metrics.ideal_grades(grades, max(settings.ks))
    found = {
        "map": metrics.average_precision(grades, totals),
        "map_trapezoid": metrics.average_precision_trapezoid(grades, totals),
        "map@r": metrics.map_at_r(grades, totals),
        "r_precision": metrics.r_precision(grades, totals),
        "mrr": metrics.reciprocal_rank(grades),
    }
    for k in settings.ks:
        found[f"hit_rate@{k}"] = metrics.hit_rate_at_k(grades, k)
        found[f"precision@{k}"] = metrics.precision_at_k(grades, k)
        found[f"recall@{k}"] = metrics.recall_at_k(grades, totals, k)
        found[f"ndcg@{k}"] = metrics.ndcg_at_k(grades, ideal, k, exponential=settings.exponential)
        if settings.difficulty:
            found[f"precision_until_last@{k}"] = metrics.precision_until_last(grades, totals, k)
    return {name: found[name] for name in metric_names(settings)}


@dataclass
class Measurements:
    """What has been measured so far in one set-up.

    Attributes:
        corpus: what is ranked.
        labels: classes of queries and items, if there are any.
        settings: how to measure.
        rows: what `table` has of a query beside the metrics.
        values: of each block of queries, name of the metric -> float64 (queries,).
        left_out: (query_id, reason, detail) of the queries that are not measured.
        curve: sum of the precision-recall curves.
        self_matches: queries whose own item was taken out of their ranking.
    """

    corpus: RankedCorpus
    labels: Labels | None
    settings: Settings
    rows: list[dict[str, Any]] = field(default_factory=list)
    values: list[dict[str, np.ndarray]] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    curve: np.ndarray = field(default_factory=lambda: np.zeros(metrics.RECALL_LEVELS))
    self_matches: int = 0

    def leave_out(self, query_id: str, reason: str, detail: str) -> None:
        """Notes a query that is not measured; `reason` is one of `REASONS`."""
        self.left_out.append((query_id, reason, detail))

    def add(self, ids: Sequence[str], keys: np.ndarray, grades: np.ndarray) -> None:
        """Ranks and measures queries, those apart to which nothing is relevant.

        Args:
            ids: of the queries.
            keys: int64 (queries, items), as `RankedCorpus.keys` makes them; used up.
            grades: int8 (queries, items), the items by number.
        """
        totals = (grades > 0).sum(axis=1)
        for i in np.flatnonzero(totals == 0):
            self.leave_out(ids[i], "lone", "no relevant item is in the corpus")
        kept = np.flatnonzero(totals > 0)
        if not len(kept):
            return
        if len(kept) < len(ids):
            keys, grades = keys[kept], grades[kept]
        ranking = self.corpus.ranked(keys, grades, TOP)
        self.values.append(measure(ranking.grades, self.settings))
        self.curve += metrics.interpolated_precision(ranking.grades, totals[kept]).sum(axis=0)
        self.rows += _rows(self.corpus, [ids[i] for i in kept], totals[kept], ranking, self.labels)

    def mean_curve(self) -> np.ndarray | None:
        """Precision at recall 0, 0.1, ... 1, the mean over queries; None without queries."""
        return self.curve / len(self.rows) if self.rows else None

    def per_query(self) -> pa.Table:
        """A row for each measured query: see `job.Evaluation`."""
        schema = pa.schema(
            [
                ("query_id", pa.string()),
                ("class", pa.string()),
                ("relevant", pa.int64()),
                ("top", pa.list_(pa.string())),
                ("top_classes", pa.list_(pa.string())),
                ("top_grades", pa.list_(pa.int8())),
            ]
        )
        table = pa.Table.from_pylist(self.rows, schema=schema)
        for place, name in enumerate(metric_names(self.settings), 3):
            column = np.concatenate([np.empty(0), *(values[name] for values in self.values)])
            table = table.add_column(place, name, pa.array(column))
        return table

    def left_out_table(self) -> pa.Table:
        """A row for each query that is not measured."""
        return pa.table(list(zip(*self.left_out, strict=True)) or [()] * 3, schema=LEFT_OUT_SCHEMA)


def _rows(
    corpus: RankedCorpus, ids: Sequence[str], totals: np.ndarray, ranking: Ranking, labels: Labels | None
) -> Iterator[dict[str, Any]]:
    columns = ranking.columns
    named = corpus.items[ITEM_ID].take(pa.array(np.maximum(columns, 0).reshape(-1))).to_pylist()
    for i, (query_id, total) in enumerate(zip(ids, totals.tolist(), strict=True)):
        filled = columns[i, columns[i] >= 0]
        yield {
            "query_id": query_id,
            "class": None if labels is None else as_text(labels.of_query(query_id)),
            "relevant": total,
            "top": named[i * columns.shape[1] :][: len(filled)],
            "top_classes": [None if labels is None else as_text(labels.of_item(n)) for n in filled],
            "top_grades": ranking.grades[i, : len(filled)].tolist(),
        }
