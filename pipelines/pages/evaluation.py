"""The page of an evaluation: its numbers, and what one encoder finds and another does not, on the same queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..config.noted import from_note
from ..evaluate.calibration import lines_of
from ..evaluate.headline import headline
from ..evaluate.report import JSON, PER_QUERY
from ..filesystem import files
from ..filesystem.parquet import damage_named
from .album import ITEM, MOST_BYTES, QUERY, Album, Picture
from .answers import PageSummary
from .compared_queries import BOTH, COLUMNS, NEITHER, ONLY_FIRST, ONLY_SECOND, ComparedQueries, compare
from .generation_shown import opened
from .line_charts import LineChart, line
from .page import link, plural, render
from .pictures import add_items, add_queries

_NOT_AS_WRITTEN = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, StopIteration, AssertionError),
    *(RecursionError, pa.ArrowException),
)
_NAMES = 13
"""Characters that `lines_of` puts names into."""


@dataclass(frozen=True)
class Ranked:
    """An item at its rank: its picture, and whether it is relevant."""

    item_id: str
    picture: Picture
    is_right: bool


@dataclass(frozen=True)
class Asked:
    """A query: its picture, and of each job the name, its average precision and the first ranks."""

    query_id: str
    picture: Picture
    sides: Sequence[tuple[str, str, Sequence[Ranked]]]


def evaluation_page(
    folder: str,
    page: str,
    config: Config | None,
    queries: str | None,
    rows: int,
    most_bytes: int = MOST_BYTES,
) -> PageSummary | None:
    """Makes the page of an evaluation; None if the folder holds none.

    Of several jobs the first two that measured the same queries are shown side by side.

    Args:
        folder: that `lookalike evaluate` wrote to.
        page: where the page will be, for links to the tables.
        config: the job whose pictures are shown; None for what is noted.
        queries: where the queries are now; None for what is noted.
        rows: queries on the page at most.
        most_bytes: of its pictures.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a table cannot be read.
    """
    path = files.join(folder, JSON)
    if not files.exists(path):
        return None
    try:
        told = json.loads(files.read_bytes(path))
        return _page(folder, page, told, config, queries, rows, most_bytes)
    except _NOT_AS_WRITTEN as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise LookalikeError(
            f"Expected in {path} what `lookalike evaluate` writes there. Received: {type(error).__name__}: {reason}"
        ) from None


def _page(
    folder: str,
    page: str,
    told: Mapping[str, Any],
    config: Config | None,
    queries: str | None,
    rows: int,
    most_bytes: int,
) -> PageSummary:
    evaluations = told["evaluations"]
    pair = _pair(evaluations)
    table = files.join(folder, PER_QUERY)
    with files.open_read(table) as file, damage_named(table):
        measured = pq.read_table(file, columns=list(COLUMNS))
    found = compare([_of(measured, one) for one in pair], rows)
    album = Album(most_bytes)
    _add_pictures(album, told, pair[0], config, queries, found)
    names = [str(one["job"]) for one in pair]
    sections = [
        (name, *_words(name, names), found.counts[name], [_asked(row, names, album) for row in shown])
        for name, shown in found.sections.items()
        if found.counts[name]
    ]
    shown_count = sum(len(shown) for shown in found.sections.values())
    html = render(
        "evaluation.html",
        title=" and ".join(names) + f" on {plural(sum(found.counts.values()), 'query', 'queries')}",
        queries=pair[0]["queries"],
        relevance=sorted(set(told["relevance"])),
        counts=[
            (sum(found.counts.values()), "queries measured", link(table, page)),
            *(
                (
                    found.counts[name],
                    _words(name, names)[0].lower(),
                    f"#{name}" if found.counts[name] else None,
                )
                for name in found.counts
            ),
        ],
        headlines=[
            (one["job"], headline(one["metrics"], told["settings"]["k"]))
            for one in evaluations
            if one["metrics"]
        ],
        left_out=[(_name(one), one["counts"]) for one in evaluations],
        metrics=[(_name(one), *_metrics(one)) for one in evaluations if one["metrics"]],
        comparisons=[_comparison(one) for one in told["comparisons"]],
        curves=_curves(evaluations),
        calibrations=[_calibration(one) for one in evaluations if one["calibration"]],
        sections=sections,
        pictures_left_out=album.left_out,
        generations=[(one["job"], one["encoder"], one["encoder_fingerprint"][:16]) for one in evaluations],
    )
    summary = {
        "queries": f"{sum(found.counts.values()):,} measured; {shown_count:,} of them are shown",
        "pictures": f"{album.shown:,}"
        + (f", {album.left_out:,} more are left out" if album.left_out else ""),
    }
    return PageSummary(html, summary)


def _name(evaluation: Mapping[str, Any]) -> str:
    return str(evaluation["job"]) + ("" if evaluation["setup"] == "all" else f", {evaluation['setup']}")


def _pair(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first evaluation, and the next one of the same set-up and queries if there is any."""
    first, *others = evaluations
    same = [one for one in others if (one["setup"], one["queries"]) == (first["setup"], first["queries"])]
    return [first, *same[:1]]


def _of(measured: pa.Table, evaluation: Mapping[str, Any]) -> pa.Table:
    is_it = [
        (job, setup) == (evaluation["job"], evaluation["setup"])
        for job, setup in zip(measured["job"].to_pylist(), measured["setup"].to_pylist(), strict=True)
    ]
    return measured.filter(pa.array(is_it, pa.bool_()))


def _add_pictures(
    album: Album,
    told: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    config: Config | None,
    queries: str | None,
    found: ComparedQueries,
) -> None:
    noted = (told.get("jobs") or {}).get(evaluation["job"], {})
    if config is None and not noted:
        raise LookalikeError(
            f"Expected -c with the job file of {evaluation['job']}, as the evaluation does not tell it. Received: none"
        )
    job = config or from_note(noted["job"])
    rows = [row for shown in found.sections.values() for row in shown]
    query_ids = list(dict.fromkeys(str(row[0]["query_id"]) for row in rows))
    item_ids = dict.fromkeys(item for row in rows for side in row for item in side["top"])
    with opened(job.store, evaluation["generation"]) as generation:
        add_queries(album, job, generation, queries or noted.get("queries"), query_ids)
        add_items(album, job, generation, item_ids)


def _asked(row: Sequence[Mapping[str, Any]], names: Sequence[str], album: Album) -> Asked:
    query_id = str(row[0]["query_id"])
    picture = album.show(QUERY, query_id)
    sides = [
        (
            name,
            f"average precision {side['map']:.3f}",
            [
                Ranked(item, album.show(ITEM, item), grade > 0)
                for item, grade in zip(side["top"], side["top_grades"], strict=True)
            ],
        )
        for name, side in zip(names, row, strict=True)
    ]
    return Asked(query_id, picture, sides)


def _words(name: str, names: Sequence[str]) -> tuple[str, str]:
    """The heading of a section, and a sentence on it."""
    first, second = names[0], names[-1]
    if name == ONLY_SECOND:
        return f"Only {second} finds", f"The first match of {second} is relevant, that of {first} is not."
    if name == ONLY_FIRST:
        return f"Only {first} finds", f"The first match of {first} is relevant, that of {second} is not."
    least = "The least average precision comes first."
    if len(names) == 1:
        return (
            ("Found", f"The first match is relevant. {least}")
            if name == BOTH
            else (
                "Not found",
                f"The first match is not relevant. {least}",
            )
        )
    assert name in (NEITHER, BOTH)
    if name == NEITHER:
        return "Neither finds", f"Neither first match is relevant. {least}"
    return "Both find", f"Both first matches are relevant. {least}"


def _metrics(evaluation: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of metrics."""
    metrics = evaluation["metrics"]
    by_class = [name for name in next(iter(metrics.values())) if name not in ("mean", "low", "high")]
    rows = [
        [
            name,
            f"{m['mean']:.4f}",
            f"{m['low']:.4f} to {m['high']:.4f}",
            *(f"{m[part]:.4f}" for part in by_class),
        ]
        for name, m in metrics.items()
    ]
    return ["Metric", "Mean", "95 % interval", *by_class], rows


def _comparison(one: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Caption, columns and rows of a table of differences."""
    setup = "" if one["setup"] == "all" else f", {one['setup']}"
    how = (
        f"{plural(one['queries'][0], 'query', 'queries')} in pairs" if one["paired"] else "different queries"
    )
    rows = [
        [
            name,
            f"{m['first']:.4f}",
            f"{m['second']:.4f}",
            f"{m['difference']:+.4f}",
            f"{m['low']:+.4f} to {m['high']:+.4f}",
            "" if m["p"] is None else f"{m['p']:.4f}",
        ]
        for name, m in one["metrics"].items()
    ]
    columns = ["Metric", one["first"], one["second"], "Difference", "95 % interval", "p"]
    return f"{one['second']} less {one['first']}{setup}: {how}", columns, rows


def _curves(evaluations: Sequence[Mapping[str, Any]]) -> LineChart | None:
    known = [(_name(one), one["precision_recall"]) for one in evaluations if one["precision_recall"]]
    if not known:
        return None
    text = "Precision at recall 0, 0.5 and 1: " + "; ".join(
        f"{name} {', '.join(f'{curve[place]:.3f}' for place in (0, len(curve) // 2, -1))}"
        for name, curve in known
    )
    drawn = [line(name, [(n / (len(curve) - 1), y) for n, y in enumerate(curve)]) for name, curve in known]
    return LineChart(tuple(drawn), "recall", "precision", text + ".")


def _calibration(
    evaluation: Mapping[str, Any],
) -> tuple[str, LineChart, list[tuple[str, str]], Sequence[Sequence[str]]]:
    """Name, chart, what is told with its names, and table of the probabilities of a job."""
    found = evaluation["calibration"]
    sentences, rows = lines_of(found)
    points = sorted((row["probability"], row["relevant"]) for row in found["scores"])
    text = (
        f"Share relevant over probability, with an expected calibration error of {found['ece_equal_width']:.4f}; "
        "on the dashed line both are equal."
    )
    chart = LineChart(
        (line(_name(evaluation), points),), "probability", "share relevant", text, has_diagonal=True
    )
    return _name(evaluation), chart, [(one[:_NAMES].strip(), one[_NAMES:]) for one in sentences], rows
