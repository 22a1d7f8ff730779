"""The commands that make and change encoder bundles: `lookalike encoder`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say

from ..sources.records import DIRECTORY
from .groups import Group
from .options import expand, load_config
from .steps import AugmentationOption, ExpansionOption, RerankingOption

BundleFolder = Annotated[
    Path, typer.Argument(metavar="ENCODER", callback=expand, help="Folder of the bundle.")
]
encoder_app = Group(help="Make and look at encoder bundles.")


@encoder_app.command()
def build(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", callback=expand, help="Folder for the bundle; must be new or empty."),
    ],
    sample: Annotated[
        list[str],
        typer.Option(
            callback=expand,
            help="Shards (or a folder) of the corpus to fit and calibrate on; may be repeated.",
        ),
    ],
    network: Annotated[
        str,
        typer.Option(
            callback=expand,
            help="efficientnet_lite0, 1 or 2; the folder of a training run; a network of keras.applications; or a "
            ".keras file.",
        ),
    ] = "efficientnet_lite0",
    weights: Annotated[
        str | None,
        typer.Option(
            callback=expand, help="For keras.applications: a .weights.h5 file, or imagenet to download them."
        ),
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
            "--projection. Default: 256, or what the sample has images for."
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
    variant: Annotated[
        str | None,
        typer.Option(
            help="What jobs use: int8 (TFLite), openvino (int8 too) or float. Default: openvino where this machine "
            "has AMX and openvino and nncf are installed, int8 elsewhere."
        ),
    ] = None,
    instructions: Annotated[
        str | None,
        typer.Option(
            help="For openvino: amx, which every machine of a cluster then needs, or avx2, which all have. "
            "Default: the fastest of this machine."
        ),
    ] = None,
    unit_length: Annotated[bool, typer.Option(help="Scale embeddings to length 1.")] = True,
    images: Annotated[int, typer.Option(min=1, help="Images of the sample to use.")] = 2000,
    name: Annotated[str | None, typer.Option(help="A name for people; default the network's.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", callback=expand, help="Job file whose `corpus` tells how to read."),
    ] = None,
    database_augmentation: AugmentationOption = None,
    query_expansion: ExpansionOption = None,
    reranking: RerankingOption = None,
) -> None:
    """Make an encoder bundle: network, preprocessing, projection, float and int8 variants, digests.

    With the variant openvino it holds that one too.

    Example: lookalike encoder build encoders/lite0 --network efficientnet_lite0 --sample shards/
    """
    from lookalike.model.encoder.export import BundleRecipe
    from lookalike.model.encoder.post_processing import PostProcessing
    from lookalike.model.images.test_time_augmentation import TestTimeAugmentation

    from ..encoder.build import NetworkChoice, Sample, build_encoder, default_variant
    from ..encoder.tune import parsed
    from ..sources import SourceOptions

    choice = NetworkChoice(network, weights, layer, preprocessing)
    recipe = BundleRecipe(
        name=name or choice.title,
        pooling=pooling,
        dim=(choice.default_dim(projection) if dim is None else dim) or None,
        fewer_dims=dim is None,
        projection=projection,
        shrinkage=shrinkage,
        test_time_augmentation=TestTimeAugmentation(flip, tuple(scale or (1.0,))),
        unit_length=unit_length,
        variant=variant or default_variant(),
        instructions=instructions,
        post_processing=PostProcessing(**parsed(database_augmentation, query_expansion, reranking)),
    )
    options = load_config(config).corpus.source_options() if config else SourceOptions()
    summary = build_encoder(out, choice, Sample(sample, options, images, label), recipe)
    say(f"encoder      {out}", f"fingerprint  {summary.fingerprint}", f"dimensions   {summary.dim}")
    say(f"sample       {summary.images} images, {len(summary.unreadable)} unreadable")
    say(f"projection   {summary.projection}")
    if summary.unlabelled:
        say(f"labels       {summary.unlabelled} images of the sample have no {label}: not fitted on")
    say(f"variant      {summary.speeds}")
    compared = "int8" if summary.variant == "float" else summary.variant
    say(f"{compared:12} mean cosine {summary.agreement:.4f} with float")
    say(f"steps        {recipe.post_processing}")


@encoder_app.command()
def show(
    folder: BundleFolder,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also how fast each variant is on this machine; some seconds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Tell what is in an encoder bundle: network, dimensions, preprocessing, variants, steps, calibration, size.

    Every file is compared with its digest on the way.

    Example: lookalike encoder show encoders/lite0 --measure
    """
    from ..encoder.show import show as run
    from ..encoder.show import show_json, show_report

    shown = run(folder, measure=measure)
    if as_json:
        print(json.dumps(show_json(shown), indent=1))
    else:
        say(*show_report(shown))


@encoder_app.command()
def tune(
    folder: BundleFolder,
    database_augmentation: AugmentationOption = None,
    query_expansion: ExpansionOption = None,
    reranking: RerankingOption = None,
) -> None:
    """Change the steps around the search in an encoder bundle. Steps that are not named stay; `off` ends one.

    Vectors stay the same, and so does the fingerprint: nothing is embedded again. Query expansion and re-ranking
    act from the next query on, database augmentation from the next `lookalike nightly` or `index`. Measure before
    and after with `lookalike evaluate`. docs/retrieval.md has the definitions.

    Example: lookalike encoder tune encoders/lite0 --query-expansion 5,3 --reranking off
    """
    from lookalike.model.encoder.manifest import fingerprint, read_manifest

    from ..encoder.show import calibration_beside, calibration_line
    from ..encoder.tune import change, parsed

    settings = change(folder, parsed(database_augmentation, query_expansion, reranking))
    manifest = read_manifest(folder)
    say(
        f"encoder      {folder}",
        f"fingerprint  {fingerprint(manifest)}",
        f"steps        {settings}",
    )
    calibration, fits_not = calibration_beside(folder, manifest)
    if calibration:
        say(f"calibration  {calibration_line(calibration, fits_not)}")


@encoder_app.command()
def text(
    folder: Annotated[Path, typer.Argument(metavar="ENCODER", callback=expand, help="Folder of the bundle.")],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Learn from this field of the corpus, a few words such as classes or colours; `directory` is the "
            "folder's name.",
        ),
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Learn from this field of the corpus: titles or descriptions."),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            callback=expand, help="Shards (or a folder) to learn from. Default: those of the job file."
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Images of the corpus to learn from.")] = 20_000,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", callback=expand, help="Job file whose `corpus` tells how to read."),
    ] = None,
) -> None:
    """Add a text encoder to a bundle, so that queries may be English words.

    Without a field, texts go by the names of the classes that the network was trained to tell: EfficientNet-Lite, as it
    comes. Needs the packages of the extra `text`, here and nowhere else. Image vectors, stores and indexes stay as they
    are. docs/recipes/words.md says what words find.

    Example: lookalike encoder text encoders/lite0 --labels directory --corpus shards/
    """
    from ..encoder.build import Sample
    from ..encoder.text import add_class_names, add_texts
    from ..sources import SourceOptions

    field = labels or captions
    if labels and captions:
        raise LookalikeError("Expected one of --labels and --captions. Received: both")
    if not field:
        if corpus:
            raise LookalikeError("Expected --labels or --captions with --corpus. Received: neither")
        summary = add_class_names(folder)
    else:
        job = load_config(config) if config else None
        paths = corpus or (job and job.corpus.shards)
        if not paths:
            raise LookalikeError(
                "Expected --corpus or --config, whose images have the texts. Received: neither"
            )
        options = job.corpus.source_options() if job else SourceOptions()
        summary = add_texts(folder, "labels" if labels else "captions", Sample(paths, options, images, field))
    made = summary.manifest
    say(f"encoder      {folder}", f"fingerprint  {made.encoder}", f"text         {made.fingerprint}")
    if made.kind == "class names":
        say(f"words        go by the names of {len(made.names):,} classes")
    else:
        say(f"words        learnt from {made.texts:,} {made.kind} of {made.images:,} images: {made.field}")
        say(f"left out     {summary.without_text:,} images without one, {summary.unreadable:,} unreadable")
