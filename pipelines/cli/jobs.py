"""The commands of every day: `lookalike pack`, `embed`, `index`, `nightly` and `query`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say

from ..query.tables import FORMAT_HELP, Format
from ..sources import FileFormat
from ..sources.types import TYPES, arrow_type
from .options import IN_PART, ConfigFile, Overrides, beam_flags, expand, load_config
from .standing import exit_if_unanswered, print_standing

if TYPE_CHECKING:
    from ..config.job import Config
    from ..embedding.report import EmbedSummary
    from ..index.report import IndexSummary

BEAM = {"allow_extra_args": True, "ignore_unknown_options": False}
"""Context of the commands that hand what stands behind `--` to Beam."""


def pack(
    images: Annotated[str, typer.Argument(metavar="IMAGES", callback=expand, help="Folder of images.")],
    out: Annotated[str, typer.Argument(metavar="OUT", callback=expand, help="Folder for the shards.")],
    format: Annotated[FileFormat, typer.Option(help="Format of the shards.")] = "tfrecord",
    images_per_shard: Annotated[int, typer.Option(min=1, help="Images in a shard, on average.")] = 1000,
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=expand,
            help="CSV or JSON Lines with a column `path`, relative to IMAGES.",
        ),
    ] = None,
    type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TYPE",
            help=f"Type of a column, else text in CSV: {', '.join(TYPES)}. May be repeated.",
        ),
    ] = None,
) -> None:
    """Write image shards from a folder of images. The same folder always gives the same bytes.

    The id of each image is its path relative to IMAGES. Nothing is decoded: a broken image is packed as it is.
    Into the same OUT again, only shards that changed are written, and those that are no longer made are removed.

    Metadata are packed exactly. All of a CSV is text but for columns with a --type, and an empty cell is null unless
    it is quoted. What is to stand in the job file to carry them is printed.

    Example: lookalike pack photos/ shards/ --format webdataset --metadata photos.csv --type price=float64
    """
    from ..sources.pack import pack as run
    from ..sources.pack import pack_report

    types = dict(_name_and_type(declared) for declared in type or ())
    if types and not metadata:
        raise LookalikeError("Expected --metadata FILE with the columns that --type names. Received: none")
    summary = run(
        images, out, format=format, images_per_shard=images_per_shard, metadata=metadata, types=types
    )
    print(pack_report(summary, out))


def _name_and_type(declared: str) -> tuple[str, str]:
    name, equals, kind = declared.rpartition("=")
    try:
        arrow_type(kind)
    except LookalikeError as error:
        raise LookalikeError(f"--type {declared}: {error}") from None
    if not equals or not name:
        raise LookalikeError(f"Expected --type NAME=TYPE, such as price=float64. Received: {declared}")
    return name, kind


def embed(ctx: typer.Context, config: ConfigFile, set: Overrides = None) -> None:
    """Embed every image shard that has no embedding file yet. Beam's flags go behind `--`.

    A shard that is finished and unchanged is skipped, so an interrupted run is resumed by running it again.

    Example: lookalike embed -c config/nightly.yaml -- --direct_running_mode multi_processing --direct_num_workers 2
    """
    flags = beam_flags(ctx)
    job = load_config(config, set)
    from ..api.jobs import Job

    summary = Job(job).embed(flags)
    _print_embedded(job, summary)
    _exit_if_in_part(summary)


def _print_embedded(job: Config, summary: EmbedSummary) -> None:
    from ..embedding.report import embed_report
    from ..store.notes import embeddings_folder

    print(embed_report(summary, embeddings_folder(job.store, summary.plan.fingerprint)))


def index(ctx: typer.Context, config: ConfigFile, set: Overrides = None) -> None:
    """Build the index from the embedding files and publish it. Beam's flags go behind `--`.

    Index shards whose embedding files did not change are used again. Queries see the new index only when all
    of it is there and has passed the gates.

    Example: lookalike index -c config/nightly.yaml --set index.recall_target=0.95
    """
    flags = beam_flags(ctx)
    job = load_config(config, set)
    from ..api.jobs import Job

    summary = Job(job).index(flags)
    _print_indexed(job, summary)


def _print_indexed(job: Config, summary: IndexSummary) -> None:
    from ..index.report import generation_report
    from ..store.generation import generation_folder

    print(generation_report(summary, generation_folder(job.store, summary.generation.name)))


def nightly(
    ctx: typer.Context,
    config: ConfigFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    set: Overrides = None,
) -> None:
    """Embed what is new, index what changed, check, publish, answer standing queries. Beam's flags go behind `--`.

    Safe to run again at any time: finished work is used again, and what is served changes only at the end, and
    only if every check passes. A report is written to STORE/reports, also as OpenMetrics.

    Example: lookalike nightly -c config/nightly.yaml --dry-run
    """
    flags = beam_flags(ctx)
    job = load_config(config, set)
    if dry_run:
        from ..nightly.dry_run import dry_run as plan
        from ..nightly.dry_run import dry_run_report

        print(dry_run_report(plan(job)))
        return
    from ..nightly.run import nightly as run

    summary = run(job, flags)
    _print_embedded(job, summary.embedded)
    _print_indexed(job, summary.indexed)
    print_standing(summary.standing)
    say(f"report       {summary.report_path}")
    _exit_if_in_part(summary.embedded)
    exit_if_unanswered(summary.standing)


def _exit_if_in_part(summary: EmbedSummary) -> None:
    if summary.unfinished or any(note.damaged for note in summary.plan.notes):
        raise typer.Exit(IN_PART)


def query(
    ctx: typer.Context,
    queries: Annotated[
        str,
        typer.Argument(
            metavar="QUERIES",
            callback=expand,
            help="Image shards, a folder or a photograph; a query table (CSV, JSON Lines, Parquet); Parquet or .npy "
            "with vectors; a .txt of item ids.",
        ),
    ],
    config: ConfigFile,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="OUT", callback=expand, help="Folder for the two tables.")
    ],
    k: Annotated[int | None, typer.Option("-k", min=1, help="Matches a query. Default: query.k.")] = None,
    format: Annotated[Format, typer.Option(help=FORMAT_HELP)] = "parquet",
    exact: Annotated[
        bool | None,
        typer.Option("--exact/--no-exact", help="Compare with every vector. Default: query.exact."),
    ] = None,
    exclude_self: Annotated[
        bool | None,
        typer.Option(
            "--exclude-self/--keep-self",
            help="Leave out the item whose id is the query's own. Default: query.exclude_self.",
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out matches below; needs `evaluate --calibrate`."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Only items that pass this filter over item_id and metadata."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="S", help="Only items of at least this score (metric: cosine).")
    ] = None,
    max_distance: Annotated[
        float | None, typer.Option(metavar="D", help="Only items that near (metric: euclidean).")
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="One match of a value of FIELD, or --per-group.")
    ] = None,
    per_group: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Matches of one value of FIELD.")
    ] = None,
    diversify: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA", min=0, max=1, help="From 1, by score alone, to 0: unlike each other (MMR)."
        ),
    ] = None,
    combine: Annotated[
        Literal["best", "mean"] | None,
        typer.Option(help="Rows of one query_id: their best score, or their mean. Default: query.combine."),
    ] = None,
    set: Overrides = None,
) -> None:
    """Answer a file of queries: OUT/results (query_id, rank, item_id, score, metadata) and OUT/failures.

    Once `lookalike evaluate --calibrate` was run, results have a column `probability` behind `score`.

    OUT/query.json tells how they were made: `lookalike report OUT` makes a page of them, to look at.

    Every query of the input is in exactly one of the two tables. With Beam's flags, behind `--`, workers answer, which
    must see the queries, the store and OUT; the tables are the same.

    A query table has a column query_id and one of path, image, item_id and vector; box, for a part of the picture, and
    where, a filter, are optional, and all others are carried into the results.

    First items are filtered, then those below a threshold left out, then groups limited, then diverse ones chosen. K
    matches are found as long as so many items meet the conditions.

    Example: lookalike query -c config/nightly.yaml photos/ -o answers/ -k 10 --format csv

    Example: lookalike query -c config/nightly.yaml photos/ -o answers/ --where "price < 50" --group-by product
    """
    flags = beam_flags(ctx)
    job = load_config(config, set)
    from ..index.conditions import Conditions
    from ..query.job import QueryOptions
    from ..query.job import query as run
    from ..query.report import query_report

    given = {
        "where": where,
        "min_score": min_score,
        "max_distance": max_distance,
        "group_by": group_by,
        "per_group": per_group,
        "diversify": diversify,
    }
    conditions = Conditions.of(job.query, given)
    options = QueryOptions(
        k or job.query.k,
        format,
        exact=job.query.exact if exact is None else exact,
        exclude_self=job.query.exclude_self if exclude_self is None else exclude_self,
        conditions=conditions,
        combine=combine,
        min_probability=min_probability,
    )
    summary = run(job, queries, out, options, flags)
    print(query_report(summary))
    if not summary.searched:
        raise typer.Exit(IN_PART)
