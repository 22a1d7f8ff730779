"""The command `lookalike evaluate`."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say

from .options import IN_PART, Overrides, expand, load_config

T = TypeVar("T")
Gain = Literal["linear", "exponential"]


def evaluate(
    config: Annotated[
        list[Path],
        typer.Option(
            "--config", "-c", metavar="FILE", callback=expand, help="The job file; repeat it to compare jobs."
        ),
    ],
    out: Annotated[
        str,
        typer.Option("--out", "-o", metavar="OUT", callback=expand, help="Folder for all that is written."),
    ],
    queries: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUERIES", callback=expand, help="As for `query`: one for all jobs, or one for each."
        ),
    ] = None,
    relevance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD|FILE",
            callback=expand,
            help="A metadata field, `directory` of the id, or TREC qrels (query 0 item grade; below 0 is junk).",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Instead of --queries: how well the texts of this field find the items that have them, and items "
            "their texts.",
        ),
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", min=1, help="A cut-off; may be repeated. Default: 1, 5, 10.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Field of the classes. Default: the one of --relevance."),
    ] = None,
    class_sizes: Annotated[
        str,
        typer.Option(metavar="TAIL,HEAD", help="Tail: fewer items than TAIL; head: more than HEAD."),
    ] = "20,100",
    gain: Annotated[Gain, typer.Option(help="What a grade g is worth in nDCG: g, or 2^g - 1.")] = "linear",
    difficulty: Annotated[
        bool,
        typer.Option(
            "--difficulty", help="Oxford/Paris: qrels with 2 easy, 1 hard, -1 junk, measured in 3 set-ups."
        ),
    ] = False,
    keep_self: Annotated[
        bool, typer.Option("--keep-self", help="Rank the item whose id is the query's own, too.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OUT", callback=expand, help="Compare with an earlier evaluation, query by query."
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit the probability that a match is relevant, and keep it beside the encoder for `query`.",
        ),
    ] = False,
    resamples: Annotated[
        int, typer.Option(min=100, help="Of the bootstrap and the significance test.")
    ] = 10_000,
    plots: Annotated[
        bool, typer.Option("--plots/--no-plots", help="Draw PNG files; needs matplotlib.")
    ] = True,
    set: Overrides = None,
) -> None:
    """Measure how well the encoder ranks what is served: hit rate, precision, recall, mAP, MAP@R, nDCG, MRR.

    The ranking is exact and whole, whatever the index would leave out. Writes OUT/evaluation.json, the tables
    per_query, per_class and left_out (Parquet), and plots. docs/evaluation.md defines every metric.

    Two encoders on the same queries are compared query by query, with a significance test. With other queries
    for each job, the difference to the first is the loss in transfer to another domain.

    With --calibrate the results of `lookalike query` carry a probability from then on; without it, one that is there
    is tried on these queries. docs/recipes/probability.md tells what it is the probability of.

    Example: lookalike evaluate -c a.yaml -c b.yaml --queries shop/ --queries street/ --relevance directory -o out/
    """
    from ..config.noted import noted
    from ..evaluate.job import evaluate as run
    from ..evaluate.measurements import Settings
    from ..evaluate.report import as_text, make_report, read_sides, refuse_own_output, write_report
    from ..evaluate.summary import ClassSizes
    from ..filesystem.paths import anchored
    from ..store.calibrations import keep_calibration

    if text:
        _evaluate_words(config, text, out, set, bool(queries or relevance))
        return
    if not (queries and relevance):
        given = "--queries alone" if queries else "--relevance alone" if relevance else "neither"
        raise LookalikeError(f"Expected --queries and --relevance, or --text. Received: {given}")
    if plots and importlib.util.find_spec("matplotlib") is None:
        raise LookalikeError("Plots need matplotlib: `pip install matplotlib`, or pass --no-plots")
    settings = Settings(
        ks=tuple(sorted({*(k or Settings.ks)})),
        exponential=gain == "exponential",
        keep_self=keep_self,
        difficulty=difficulty,
        classes=classes,
        calibrate=calibrate,
    )
    if calibrate and (difficulty or len(config) > 1):
        raise LookalikeError(
            "Expected --calibrate with one job, and without --difficulty. Received: "
            + ("--difficulty" if difficulty else f"{len(config)} jobs")
        )
    sizes = ClassSizes(*_sizes(class_sizes))
    jobs = [load_config(path, set) for path in config]
    names = _names(config)
    asked = _one_each(queries, len(jobs), "--queries")
    relevant = _one_each(relevance, len(jobs), "--relevance")
    refuse_own_output(out, asked, [*relevant, *([classes] if classes else [])])
    earlier = read_sides(against) if against else []
    found, configs = [], []
    for job, name, path, of in zip(jobs, names, asked, relevant, strict=True):
        evaluations = run(job, path, of, settings, name)
        found += evaluations
        configs += [job] * len(evaluations)
    report, tables = make_report(found, relevant, settings, sizes, earlier, resamples=resamples)
    report["jobs"] = {
        name: {"job": noted(job), "queries": anchored(path)}
        for name, job, path in zip(names, jobs, asked, strict=True)
    }
    write_report(out, report, tables)
    print(as_text(report))
    if against and not report["comparisons"]:
        say(
            f"NOTICE       not compared with {against}: no query was measured there and here in the same set-up"
        )
    if plots:
        from ..evaluate.plots import write_plots

        drawn, notes = write_plots(out, found, configs, sizes)
        say(*(f"plot         {path}" for path in drawn), *(f"note         {note}" for note in notes))
    for job, evaluation in zip(configs, found, strict=True):
        if evaluation.calibrated and evaluation.calibrated.fitted:
            calibration = evaluation.calibrated.calibration
            say(*(f"calibration  {path}" for path in keep_calibration(job.store, job.encoder, calibration)))
    say(f"report       {out}")
    if not all(len(evaluation.per_query) for evaluation in found):
        raise typer.Exit(IN_PART)


def _evaluate_words(
    configs: Sequence[Path], field: str, out: str, overrides: list[str] | None, more: bool
) -> None:
    from ..evaluate.words import evaluate_words, words_report, write_words

    if len(configs) > 1 or more:
        raise LookalikeError("Expected --text with one job, and without --queries and --relevance")
    found = evaluate_words(load_config(configs[0], overrides), field)
    path = write_words(out, found)
    say(*words_report(found), "", f"report       {path}")


def _one_each(given: Sequence[T], jobs: int, option: str) -> list[T]:
    if len(given) not in (1, jobs):
        raise LookalikeError(
            f"Expected {option} once, or once for each of {jobs} jobs. Received: {len(given)}"
        )
    return list(given) * jobs if len(given) == 1 else list(given)


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' base names without extension; numbered where two are alike."""
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        seen[path.stem] += 1
        names.append(path.stem if seen[path.stem] == 1 else f"{path.stem} ({seen[path.stem]})")
    return names


def _sizes(text: str) -> tuple[int, int]:
    """`TAIL,HEAD` as (head_over, tail_under)."""
    try:
        tail, head = map(int, text.split(","))
    except ValueError:
        tail, head = 1, 0
    if not 0 <= tail <= head:
        raise LookalikeError(
            f"--class-sizes: expected two whole numbers such as 20,100, the smaller first. Received: {text}"
        )
    return head, tail
