"""What an evaluation leaves behind: JSON, Parquet tables, and text for people."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable_lines

from ..filesystem import files
from ..query import query_files
from ..runner.tables import make_table, table_as_text
from .calibration import lines_of
from .headline import headline
from .job import Evaluation
from .measurements import Settings
from .summary import GROUPS, SEED, ClassSizes, Side, comparisons, per_class, summary

FORMAT = 1
JSON, TEXT = "evaluation.json", "evaluation.txt"
PER_QUERY, PER_CLASS, LEFT_OUT = "per_query.parquet", "per_class.parquet", "left_out.parquet"
_PLOT = re.compile(r"(precision-recall|(per_class|hardest|calibration)(-.*)?)\.png")
"""What `plots` draws."""
DRAWN_BY = b"Software\0Lookalike"
"""What a plot of ours says in its first bytes, where a PNG has its texts."""
_HEAD = 512
_WIDTH = 80
_OTHER_CORPUS = 1.2
"""Mean numbers of relevant items that are further apart than this factor are told of."""


def make_report(
    evaluations: Sequence[Evaluation],
    relevance: Sequence[str],
    settings: Settings,
    sizes: ClassSizes,
    against: Sequence[Side] = (),
    *,
    resamples: int,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """All figures.

    Args:
        evaluations: of one or several jobs.
        relevance: what was relevant, of each job in turn.
        settings, sizes: how was measured, and how classes are grouped.
        against: an earlier evaluation (`read_sides`).
        resamples: of the bootstrap, and rounds of the randomisation test.

    Returns:
        What belongs into `evaluation.json`, and the tables by file name.
    """
    by_class = [per_class(evaluation, sizes) for evaluation in evaluations]
    sides = [Side(e.name, e.setup, e.queries, e.per_query) for e in evaluations]
    report = {
        "format": FORMAT,
        "relevance": list(relevance),
        "settings": {
            "k": list(settings.ks),
            "gain": "exponential" if settings.exponential else "linear",
            "keep_self": settings.keep_self,
            "classes": settings.classes,
            "head_over": sizes.head_over,
            "tail_under": sizes.tail_under,
            "resamples": resamples,
            "seed": SEED,
        },
        "evaluations": [
            summary(evaluation, classes, resamples)
            for evaluation, classes in zip(evaluations, by_class, strict=True)
        ],
        "comparisons": comparisons(sides, against, resamples),
    }
    tables = {
        PER_QUERY: _stacked(evaluations, [e.per_query for e in evaluations]),
        PER_CLASS: _stacked(evaluations, by_class),
        LEFT_OUT: _stacked(evaluations, [e.left_out for e in evaluations]),
    }
    return report, tables


def _stacked(evaluations: Iterable[Evaluation], tables: Iterable[pa.Table]) -> pa.Table:
    """One table, each row with its job and set-up in front."""
    parts = []
    for evaluation, table in zip(evaluations, tables, strict=True):
        for place, (name, value) in enumerate((("job", evaluation.name), ("setup", evaluation.setup))):
            table = table.add_column(place, name, pa.repeat(pa.scalar(value, pa.string()), len(table)))
        parts.append(table)
    return pa.concat_tables(parts)


def _is_plot(path: str, out: str) -> bool:
    """Whether a file lies in `out` itself and is a plot of ours, by its name and the mark in it."""
    name = os.path.basename(path)
    if not _PLOT.fullmatch(name) or path != files.join(out, name):
        return False
    with files.open_read(path) as file:
        return DRAWN_BY in file.read(_HEAD)


def refuse_own_output(out: str, queries: Iterable[str], judgements: Iterable[str]) -> None:
    """Raises as `query_files.refuse_own_output` where what is measured is in a file that `write_report` replaces."""
    # A field that judges may be called as a folder is.
    for path in (*queries, *(one for one in judgements if not files.is_folder(one))):
        query_files.refuse_own_output(
            path, *(files.join(out, name) for name in (JSON, TEXT, PER_QUERY, PER_CLASS, LEFT_OUT))
        )


def write_report(out: str, report: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> None:
    """Writes the tables, the text and, last, `evaluation.json` into the folder `out`. Raises OSError."""
    # Where the JSON is, the tables and plots beside it belong to it.
    files.delete_files([files.join(out, JSON)])
    files.delete_files(file.path for file in files.list_files(out) if _is_plot(file.path, out))
    for name, table in tables.items():
        files.delete_dead(files.join(out, name))
        with files.write_atomic(files.join(out, name)) as file:
            pq.write_table(table, file, compression="zstd")
    files.write_bytes(files.join(out, TEXT), (as_text(report) + "\n").encode())
    files.write_bytes(
        files.join(out, JSON), (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode()
    )


def read_sides(out: str) -> list[Side]:
    """The evaluation of one job that `write_report` left in `out`, to compare with.

    Raises:
        LookalikeError: if it is none, or one of several jobs.
    """
    path = files.join(out, JSON)
    try:
        report = json.loads(files.read_bytes(path))
        found = [(str(e["job"]), str(e["setup"]), str(e["queries"])) for e in report["evaluations"]]
        path = files.join(out, PER_QUERY)
        table = pq.read_table(pa.BufferReader(files.read_bytes(path)))
        setups = table.select(["setup", "query_id", "relevant"])["setup"].to_pylist()
    except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as error:
        reason = files.reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise LookalikeError(
            f"Expected an earlier evaluation in {out}. Received: {path} that cannot be read: {reason}"
        ) from None
    jobs = {job for job, _, _ in found}
    if len(jobs) != 1:
        raise LookalikeError(
            f"Expected an earlier evaluation of one job in {out}. Received: {', '.join(sorted(jobs))}"
        )
    return [
        Side(job, setup, queries, table.filter(pa.array([one == setup for one in setups], pa.bool_())))
        for job, setup, queries in found
    ]


def as_text(report: Mapping[str, Any]) -> str:
    """The figures as tables for people."""
    parts = []
    for evaluation in report["evaluations"]:
        if evaluation["metrics"]:
            whose = f"{evaluation['job']}: " if len(report["evaluations"]) > 1 else ""
            opening = f"{whose}{headline(evaluation['metrics'], report['settings']['k'])}"
            parts.append(printable_lines([*textwrap.wrap(opening, _WIDTH), ""]))
        parts += [printable_lines(_head(evaluation, report["settings"])), _metrics_table(evaluation)]
        if found := evaluation["calibration"]:
            lines, rows = lines_of(found)
            parts += [printable_lines(lines), _figures(["score", "probability", "relevant", "pairs"], rows)]
    parts += [part for comparison in report["comparisons"] for part in _comparison(comparison)]
    return "\n".join(parts).rstrip()


def _head(evaluation: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    counts, classes = evaluation["counts"], evaluation["classes"]
    parts = " + ".join(f"{counts[name]:,} {name}" for name in ("measured", "failed", "unjudged", "lone"))
    setup = "" if evaluation["setup"] == "all" else f", {evaluation['setup']}"
    lines = [
        f"job          {evaluation['job']}{setup}",
        f"queries      {counts['read']:,} read = {parts}",
        f"corpus       {evaluation['items']:,} items, generation {evaluation['generation']}",
        f"encoder      {evaluation['encoder']} {evaluation['encoder_fingerprint'][:16]}, {evaluation['metric']}",
    ]
    if evaluation["retrieval"]:
        lines.append(f"steps        {PostProcessing.model_validate(evaluation['retrieval'])}")
    if classes["in_corpus"]:
        sizes = (
            f"more than {settings['head_over']} items",
            f"{settings['tail_under']} to {settings['head_over']}",
            "fewer",
        )
        groups = ", ".join(
            f"{group} ({size}) {classes[group]['classes']:,}"
            for group, size in zip(GROUPS, sizes, strict=True)
        )
        lines.append(f"classes      {classes['in_corpus']:,} in the corpus; with queries: {groups}")
    notes = {
        "self_matches": "queries have their own item in the corpus; it is taken out",
        "without_class": "queries have no class; they count in no macro mean",
        "unknown_items": "judged items are not in the corpus; they count nowhere",
        "unknown_queries": "judged queries are not among the queries",
    }
    lines += [f"note         {counts[name]:,} {note}" for name, note in notes.items() if counts[name]]
    return lines


def _metrics_table(evaluation: Mapping[str, Any]) -> str:
    metrics = evaluation["metrics"]
    if not metrics:
        return f"no query could be measured: {LEFT_OUT} tells of each why\n"
    by_class = [name for name in ("macro", *GROUPS) if name in next(iter(metrics.values()))]
    rows = [
        [
            name,
            f"{m['mean']:.4f}",
            f"{m['low']:.4f} to {m['high']:.4f}",
            *(f"{m[part]:.4f}" for part in by_class),
        ]
        for name, m in metrics.items()
    ]
    return _figures(["metric", "mean", "95 % interval", *by_class], rows)


def _comparison(comparison: Mapping[str, Any]) -> list[str]:
    counts = comparison["queries"]
    setup = "" if comparison["setup"] == "all" else f", {comparison['setup']}"
    how = (
        f"{counts[0]:,} queries in pairs"
        if comparison["paired"]
        else f"{counts[0]:,} and {counts[1]:,} queries"
    )
    lines = [f"difference   {comparison['second']} - {comparison['first']}{setup}: {how}"]
    if any(comparison["not_in_both"]) and comparison["paired"]:
        alone = comparison["not_in_both"]
        lines.append(f"note         measured in one of them only: {alone[0]:,} and {alone[1]:,} queries")
    before, after = comparison["mean_relevant"]
    of = f"of {comparison['other_relevant']:,} queries" if comparison["paired"] else "of a query"
    far = max(before, after) > _OTHER_CORPUS * min(before, after)
    if comparison["other_relevant"] or (far and not comparison["paired"]):
        lines.append(
            f"note         the number of relevant items {of} differs ({before:,.1f} and {after:,.1f} in the mean): the "
            "figures are of another corpus or other judgements, and precision, recall and mAP depend on that"
        )
    rows = [
        [
            name,
            f"{m['first']:.4f}",
            f"{m['second']:.4f}",
            f"{m['difference']:+.4f}",
            f"{m['low']:+.4f} to {m['high']:+.4f}",
            "" if m["relative"] is None else f"{m['relative']:+.1%}",
            *([f"{m['p']:.4f}"] if comparison["paired"] else []),
        ]
        for name, m in comparison["metrics"].items()
    ]
    headings = [
        "metric",
        comparison["first"],
        comparison["second"],
        "difference",
        "95 % interval",
        "relative",
    ]
    return [printable_lines(lines), _figures([*headings, *(["p"] if comparison["paired"] else [])], rows)]


def _figures(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text, with figures in all columns but the first."""
    return table_as_text(make_table(headings, rows, range(1, len(headings))))
