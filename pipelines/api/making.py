"""Making an encoder and training a network, by keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from ..config.job import Given, make_config
from ..config.job_file import make_job
from ..encoder.build import SAMPLE_IMAGES, NetworkChoice, Sample, default_variant
from ..filesystem.paths import AnyPath, plain
from ..sources import SourceOptions
from ..sources.records import DIRECTORY
from ..train.config import TrainConfig

if TYPE_CHECKING:
    from lookalike.model.encoder.export import BuildSummary

    from ..train.report import TrainSummary
    from .encoders import Variant

GivenTraining: TypeAlias = "TrainConfig | Mapping[str, Any] | str | PathLike[str]"
"""A job of training: the path of its file, what would stand in one, or what was read from one."""


def build_encoder(
    out: AnyPath,
    sample: AnyPath | Sequence[AnyPath],
    *,
    network: AnyPath = "efficientnet_lite0",
    weights: str | None = None,
    layer: str | None = None,
    preprocessing: str | None = None,
    dimensions: int | None = None,
    projection: str | None = None,
    shrinkage: float | None = None,
    label: str = DIRECTORY,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    pooling: str = "avg",
    variant: Variant | None = None,
    instructions: str | None = None,
    unit_length: bool = True,
    images: int = SAMPLE_IMAGES,
    name: str | None = None,
    job: Given | None = None,
) -> BuildSummary:
    """Makes an encoder from a network and a sample of the images that it is for, as `lookalike encoder build`.

    >>> import lookalike
    >>> done = lookalike.build_encoder(
    ...     "mine", "photos", network="tiny.keras", layer="features", dimensions=4,
    ...     preprocessing="decode|resize_short(36)|center_crop(32)|normalize(127,128)",
    ... )
    >>> done.dim, done.images
    (4, 5)
    >>> lookalike.open_encoder("mine").encode("photos/p00.jpg").shape
    (1, 4)

    Args:
        out: its folder, new or empty.
        sample: shards, or a folder, of images to fit the projection and calibrate int8 on; or several of them.
        network: efficientnet_lite0, 1 or 2; the folder of a training run; a network of keras.applications; or a
            .keras file.
        weights: for keras.applications a .weights.h5 file, or imagenet to download them.
        layer: of a .keras file, whose output is the embedding.
        preprocessing: instead of the network's own; a .keras file needs one.
        dimensions: to project to; 0 keeps the network's own. None is 256, or those of a training run.
        projection: pca, whitened or lda; None is pca.
        shrinkage: of the covariance, for whitened and lda; None is Ledoit and Wolf's.
        label: for lda the field of the classes, or `directory` of the id.
        flip: average with the mirrored picture.
        scales: average over these.
        pooling: avg, max or gem.
        variant: what jobs use; None is openvino where this machine has AMX and it is installed, else int8.
        instructions: for openvino, amx or avx2.
        unit_length: scale vectors to length 1.
        images: of the sample to use.
        name: for people; None is the network's.
        job: whose `corpus` tells how the sample is read.

    Raises:
        LookalikeError: for a network that is unknown or not trained, a sample that is too small or cannot be read, a
            folder in use, or options that do not go together.
    """
    from lookalike.model.encoder.export import BundleRecipe
    from lookalike.model.images.test_time_augmentation import TestTimeAugmentation

    from ..encoder.build import build_encoder as build

    choice = NetworkChoice(plain(network), weights, layer, preprocessing)
    recipe = BundleRecipe(
        name=name or choice.title,
        pooling=pooling,
        dim=(choice.default_dim(projection) if dimensions is None else dimensions) or None,
        projection=projection,
        shrinkage=shrinkage,
        test_time_augmentation=TestTimeAugmentation(flip, tuple(scales)),
        unit_length=unit_length,
        variant=variant or default_variant(),
        instructions=instructions,
    )
    paths = [sample] if isinstance(sample, (str, PathLike)) else sample
    options = SourceOptions() if job is None else make_config(job).corpus.source_options()
    return build(plain(out), choice, Sample([plain(one) for one in paths], options, images, label), recipe)


def train_network(
    job: GivenTraining, *, set: Mapping[str, Any] | None = None, fresh: bool = False
) -> TrainSummary:
    """Trains a network on labelled images, or goes on with it, as `lookalike train`.

    >>> import lookalike
    >>> done = lookalike.train_network("train.yaml", set={"epochs": 1})
    >>> done.run.epochs, done.rejected
    (1, 0)

    Args:
        job: the path of a job file of training, or its keys and values: docs/training.md.
        set: dotted key -> value, instead of what the job says.
        fresh: delete what the run folder holds, and begin anew.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if a file system fails.
    """
    from ..train.job import train

    return train(make_job(TrainConfig, job, set or {}), fresh)
