"""The `lookalike` command."""

from __future__ import annotations

import logging
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.model.errors import GateError, LookalikeError

from ..config.job import Config, load_config
from ..filesystem import files
from ..sources.records import DIRECTORY
from . import logs
from .evaluate import evaluate
from .options import UNREADABLE, ConfigFile, Overrides
from .steps import AugmentationOption, ExpansionOption, RerankingOption, parsed, tune
from .store import exclude_app, generations_app
from .train import train

if TYPE_CHECKING:
    from ..embedding.report import EmbedSummary
    from ..index.report import IndexSummary

app = typer.Typer(
    help="Batch image retrieval: embed image shards with a CNN on Apache Beam, index them with ScaNN, "
    "answer files of queries.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
encoder_app = typer.Typer(help="Make and look at encoder bundles.", no_args_is_help=True)
app.add_typer(encoder_app, name="encoder")
app.add_typer(generations_app, name="generations")
app.add_typer(exclude_app, name="exclude")

EXIT_CODES = (
    "Exit codes: 0 done; 2 it could not be done, and the message tells how to mend it; 3 done, but a shard could "
    "be read only in part, or no query could be answered; 10 to 18 a gate failed, nothing was published; "
    "130 interrupted. docs/operations.md tells which gate has which code."
)
INTERRUPTED = 130

BEAM = {"allow_extra_args": True, "ignore_unknown_options": False}


class LogForm(str, Enum):
    """How log lines look."""

    text = "text"
    json = "json"


@app.callback(epilog=EXIT_CODES)
def main_options(
    log: Annotated[LogForm, typer.Option(help="Log lines for people, or JSON for machines.")] = LogForm.text,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also what the libraries say.")] = False,
) -> None:
    logs.set_up(log.value, verbose)


class PackFormat(str, Enum):
    """Formats of shards."""

    tfrecord = "tfrecord"
    webdataset = "webdataset"
    parquet = "parquet"


@app.command()
def pack(
    images: Annotated[str, typer.Argument(metavar="IMAGES", help="Folder of images.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder for the shards.")],
    format: Annotated[PackFormat, typer.Option(help="Format of the shards.")] = PackFormat.tfrecord,
    images_per_shard: Annotated[int, typer.Option(min=1, help="Images in a shard.")] = 1000,
    metadata: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="CSV or JSON Lines with a column `path`, relative to IMAGES."),
    ] = None,
) -> None:
    """Write image shards from a folder of images. The same folder always gives the same bytes.

    The id of each image is its path relative to IMAGES. Nothing is decoded: a broken image is packed as it is.

    Example: lookalike pack photos/ shards/ --format webdataset --metadata photos.csv
    """
    from ..sources.pack import pack as run
    from ..sources.pack import pack_report

    summary = run(images, out, format=format.value, images_per_shard=images_per_shard, metadata=metadata)
    print(pack_report(summary, out))


class TableFormat(str, Enum):
    """Formats of result tables."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"


@encoder_app.command("build")
def encoder_build(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the bundle; must be new or empty.")],
    sample: Annotated[
        list[str],
        typer.Option(help="Shards (or a folder) of the corpus to fit and calibrate on; may be repeated."),
    ],
    network: Annotated[
        str,
        typer.Option(
            help="efficientnet_lite0, 1 or 2; the folder of a training run; a network of keras.applications; or a "
            ".keras file."
        ),
    ] = "efficientnet_lite0",
    weights: Annotated[
        str | None,
        typer.Option(help="For keras.applications: a .weights.h5 file, or imagenet to download them."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Of a .keras file: the layer whose output is the embedding.")
    ] = None,
    preprocessing: Annotated[
        str | None, typer.Option(help="Spec instead of the network's own; a .keras file needs one.")
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(
            help="Dimensions to project to; 0 keeps the network's own, as does a training run without "
            "--projection. Default: 256."
        ),
    ] = None,
    projection: Annotated[
        str | None,
        typer.Option(
            help="pca; whitened: PCA with shrunk whitening; lda: what tells the classes of --label apart."
        ),
    ] = None,
    shrinkage: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Of the covariance, for whitened and lda. Default: Ledoit and Wolf's."
        ),
    ] = None,
    label: Annotated[
        str,
        typer.Option(metavar="FIELD", help="For lda: the field of the classes, or `directory` of the id."),
    ] = DIRECTORY,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average with the mirrored picture; costs as much again.")
    ] = False,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            help="Average over scales, such as --scale 1 --scale 1.1; each costs as much as the first."
        ),
    ] = None,
    pooling: Annotated[str, typer.Option(help="avg, max or gem.")] = "avg",
    variant: Annotated[str, typer.Option(help="What jobs use: int8 (faster) or float.")] = "int8",
    unit_length: Annotated[bool, typer.Option(help="Scale embeddings to length 1.")] = True,
    images: Annotated[int, typer.Option(min=1, help="Images of the sample to use.")] = 2000,
    name: Annotated[str | None, typer.Option(help="A name for people; default the network's.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Job file whose `corpus` tells how to read.")
    ] = None,
    database_augmentation: AugmentationOption = None,
    query_expansion: ExpansionOption = None,
    reranking: RerankingOption = None,
) -> None:
    """Make an encoder bundle: network, preprocessing, projection, float and int8 variants, digests.

    Example: lookalike encoder build encoders/lite0 --network efficientnet_lite0 --sample shards/
    """
    from lookalike.model.encoder.search_steps import Retrieval
    from lookalike.model.images.views import Views

    from ..encoder.build import build_encoder
    from ..sources import SourceOptions

    retrieval = Retrieval(**parsed(database_augmentation, query_expansion, reranking))
    options = load_config(config).corpus.source_options() if config else SourceOptions()
    summary = build_encoder(
        out,
        network=network,
        weights=weights,
        layer=layer,
        preprocessing=preprocessing,
        sample=sample,
        options=options,
        pooling=pooling,
        dim=dim,
        projection=projection,
        shrinkage=shrinkage,
        label=label,
        views=Views(flip, tuple(scale or (1.0,))),
        unit_length=unit_length,
        variant=variant,
        name=name,
        images=images,
        retrieval=retrieval,
    )
    print(f"encoder      {out}\nfingerprint  {summary.fingerprint}\ndimensions   {summary.dim}")
    print(f"sample       {summary.images} images, {len(summary.unreadable)} unreadable")
    print(f"projection   {summary.projection}")
    if summary.unlabelled:
        print(f"labels       {summary.unlabelled} images of the sample have no {label}: not fitted on")
    print(f"int8         mean cosine {summary.agreement:.4f} with float")
    print(f"steps        {retrieval}")


encoder_app.command("tune")(tune)


@app.command(context_settings=BEAM)
def embed(ctx: typer.Context, config: ConfigFile, set: Overrides = None) -> None:
    """Embed every image shard that has no embedding file yet. Beam's flags go behind `--`.

    A shard that is finished and unchanged is skipped, so an interrupted run is resumed by running it again.

    Example: lookalike embed -c config/nightly.yaml -- --direct_running_mode multi_processing --direct_num_workers 2
    """
    job = load_config(config, set)
    from ..embedding.missing import embed_missing
    from ..store.leftovers import writing

    with writing(job, "embed"):
        summary = embed_missing(job, ctx.args)
    _print_embedded(job, summary)
    _exit_if_damaged(summary)


def _print_embedded(job: Config, summary: EmbedSummary) -> None:
    from ..embedding.report import embed_report
    from ..store.notes import embeddings_folder

    print(embed_report(summary, embeddings_folder(job.store, summary.plan.fingerprint)))


@app.command(context_settings=BEAM)
def index(ctx: typer.Context, config: ConfigFile, set: Overrides = None) -> None:
    """Build the index from the embedding files and publish it. Beam's flags go behind `--`.

    Index shards whose embedding files did not change are used again. Queries see the new index only when all
    of it is there and has passed the gates.

    Example: lookalike index -c config/nightly.yaml --set index.recall_target=0.95
    """
    job = load_config(config, set)
    from ..embedding.plan import make_plan
    from ..index.job import index as run
    from ..store.leftovers import writing

    with writing(job, "index") as still_mine:
        summary = run(job, make_plan(job, trust="metadata"), ctx.args, still_mine)
    _print_indexed(job, summary)


def _print_indexed(job: Config, summary: IndexSummary) -> None:
    from ..index.report import generation_report
    from ..store.generation import generation_folder

    print(generation_report(summary, generation_folder(job.store, summary.generation.name)))


@app.command(context_settings=BEAM)
def nightly(
    ctx: typer.Context,
    config: ConfigFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    set: Overrides = None,
) -> None:
    """Embed what is new, index what changed, check, publish. Beam's flags go behind `--`.

    Safe to run again at any time: finished work is used again, and what is served changes only at the end, and
    only if every check passes. A report is written to STORE/reports, also as OpenMetrics.

    Example: lookalike nightly -c config/nightly.yaml --dry-run
    """
    job = load_config(config, set)
    from ..nightly.dry_run import dry_run as plan
    from ..nightly.run import nightly as run

    if dry_run:
        from ..nightly.dry_run import dry_run_report

        print(dry_run_report(plan(job)))
        return
    summary = run(job, ctx.args)
    _print_embedded(job, summary.embedded)
    _print_indexed(job, summary.indexed)
    print(f"report       {summary.report_path}")
    _exit_if_damaged(summary.embedded)


def _exit_if_damaged(summary: EmbedSummary) -> None:
    if any(note.damaged for note in summary.plan.notes):
        raise typer.Exit(UNREADABLE)


@app.command()
def query(
    queries: Annotated[
        str,
        typer.Argument(
            metavar="QUERIES", help="Image shards or a folder; Parquet with vectors; a .txt of item ids."
        ),
    ],
    config: ConfigFile,
    out: Annotated[str, typer.Option("--out", "-o", metavar="OUT", help="Folder for the two tables.")],
    k: Annotated[int | None, typer.Option("-k", min=1, help="Matches a query. Default: query.k.")] = None,
    format: Annotated[TableFormat, typer.Option(help="Format of the tables.")] = TableFormat.parquet,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every vector, for certainty.")] = False,
    exclude_self: Annotated[
        bool, typer.Option("--exclude-self", help="Leave out the item whose id is the query's own.")
    ] = False,
    set: Overrides = None,
) -> None:
    """Answer a file of queries: OUT/results (query_id, rank, item_id, score, metadata) and OUT/failures.

    Every query of the input is in exactly one of the two tables.

    Example: lookalike query -c config/nightly.yaml photos/ -o answers/ -k 10 --format csv
    """
    job = load_config(config, set)
    from ..query.job import query as run
    from ..query.report import query_report

    summary = run(job, queries, out, k=k, form=format.value, exact=exact, exclude_self=exclude_self)
    print(query_report(summary))
    if not summary.answered:
        raise typer.Exit(UNREADABLE)


app.command()(evaluate)
app.command()(train)


@app.command()
def demo(
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Photographs of your own, instead of scikit-image's."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for everything.")] = Path(
        "demo"
    ),
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The job file.")] = Path(
        "config/demo.yaml"
    ),
) -> None:
    """Try it all on views of some photographs: pack, build the encoder, run nightly, query, tell the score.

    Needs no network. A second run deletes what the first one made in OUT, and nothing else.

    Example: lookalike demo --images photos/
    """
    from ..demo.run import demo as run

    run(out, config, images)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns what a user can mend into one sentence and a non-zero exit."""
    try:
        app(args=arguments)
    except GateError as error:
        _fail(str(error), error.exit_code)
    except LookalikeError as error:
        _fail(str(error))
    except OSError as error:
        _fail(files.reason(error))
    except SystemExit as stop:
        # typer turns Ctrl-C into this, without a word.
        if stop.code == INTERRUPTED:
            _fail("interrupted; what is finished is kept, run the same command to go on", INTERRUPTED)
        raise


def _fail(sentence: str, code: int = 2) -> None:
    if logs.form() == "json":
        logging.getLogger("lookalike.cli.main").error(sentence)
    else:
        print(f"lookalike: error: {sentence}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
