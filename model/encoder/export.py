"""From a network and a sample of the corpus to an encoder bundle: float SavedModel, int8 networks, projection."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import imports
from ..digests import sha256_file
from ..errors import ImageError, LookalikeError
from ..images.preprocess import Preprocess, parse_spec
from ..images.test_time_augmentation import AS_IS, TestTimeAugmentation, read_pixels
from ..networks import Backbone
from ..networks.pooling import POOLINGS
from ..quiet import quiet
from ..waiting import waiting
from . import openvino_export
from .bundle import BATCH, Encoder
from .manifest import (
    FORMAT,
    MANIFEST,
    OPENVINO,
    PROJECTION,
    SAVED_MODEL,
    TFLITE,
    VARIANTS,
    WEIGHTS,
    fingerprint,
    manifest_digest,
)
from .openvino import INSTRUCTIONS, best_instructions, check_processor
from .post_processing import KEY, PostProcessing, post_processing_json
from .projection import LDA, PCA, PROJECTIONS, Projection, WhitenedPCA, check_enough, unit_length

CALIBRATION_IMAGES = 200
"""Enough to find the range of every activation: int8 then lost no hit rate on the clothing photographs."""

logger = logging.getLogger(__name__)


class Example(NamedTuple):
    """An encoded image of the sample; its class, where a projection asks for one and it has one."""

    image: bytes
    label: str | None = None


@dataclass(frozen=True)
class BuildSummary:
    """What `build_bundle` did.

    Attributes:
        fingerprint: of the bundle's default variant.
        dim: length of an embedding.
        images: readable images of the sample.
        unlabelled: those without a class, which a projection that asks for one was not fitted on.
        unreadable: position in the sample -> reason, for the rest.
        projection: what there is, in words.
        variant: what is used unless the user asks for another.
        agreement: mean cosine of its embeddings, or those of `int8` where it is float, with float ones on sample
            images outside the calibration, where there are any.
        rates: images a second of each variant's network on one thread.
    """

    fingerprint: str
    dim: int
    images: int
    unlabelled: int
    unreadable: dict[int, str]
    projection: str
    variant: str
    agreement: float
    rates: dict[str, float]

    @property
    def speeds(self) -> str:
        """The variant in use, and how fast each is."""
        each = ", ".join(f"{name} {rate:,.0f}" for name, rate in self.rates.items())
        return f"{self.variant}; images/s of one thread, without decoding: {each}"


@dataclass(frozen=True)
class BundleRecipe:
    """What a bundle is to be, beside its network.

    Attributes:
        name: what people call this encoder.
        pooling: how the network was pooled; `gem` is applied behind it.
        dim: dimensions to project to; None keeps the network's own.
        fewer_dims: whether a sample, or a network, that is too small for `dim` gets as many as it has.
        projection: one of `PROJECTIONS`; `lda` takes one dimension fewer than there are classes at the most. None is
            PCA, where there are dimensions to project to.
        shrinkage: of the covariance, for `whitened` and `lda`; None is that of Ledoit and Wolf.
        test_time_augmentation: variants of each picture; each costs as much as the first.
        unit_length: whether embeddings are scaled to length 1.
        variant: `int8`, `openvino` or `float`: what is used unless the user asks for another. A bundle holds `int8` and
            `float` anyway.
        instructions: for `openvino`, one of `INSTRUCTIONS`, which every machine that opens it needs; None is the
            fastest of this machine.
        post_processing: steps around the search that belong to the encoder; they change no vector.

    Raises:
        LookalikeError: for a value that is not one of these, or an option that this projection does not use.
    """

    name: str
    pooling: str = "avg"
    dim: int | None = 256
    fewer_dims: bool = False
    projection: str | None = None
    shrinkage: float | None = None
    test_time_augmentation: TestTimeAugmentation = AS_IS
    unit_length: bool = True
    variant: str = "int8"
    instructions: str | None = None
    post_processing: PostProcessing | None = None

    def __post_init__(self) -> None:
        if (
            self.variant not in VARIANTS
            or self.pooling not in POOLINGS
            or (self.dim is not None and self.dim < 1)
        ):
            raise LookalikeError(
                f"Expected a variant of {', '.join(VARIANTS)}, a pooling of {', '.join(POOLINGS)} and dimensions of 1 "
                f"or more. Received: variant={self.variant}, pooling={self.pooling}, dim={self.dim}"
            )
        if self.instructions not in (None, *INSTRUCTIONS) or (
            self.instructions and self.variant != "openvino"
        ):
            raise LookalikeError(
                f"Expected instructions of {', '.join(INSTRUCTIONS)}, and only for the variant openvino. "
                f"Received: {self.instructions}, variant {self.variant}"
            )
        if self.projection not in (None, *PROJECTIONS):
            raise LookalikeError(
                f"Expected a projection of {', '.join(PROJECTIONS)}. Received: {self.projection}"
            )
        if self.projection and self.dim is None:
            raise LookalikeError(
                f"Expected dimensions to project to. Received: projection {self.projection}, dim 0"
            )
        if self.shrinkage is not None and self.projection not in ("whitened", "lda"):
            raise LookalikeError(
                f"Expected no shrinkage but for whitened and lda. Received: projection {self.projection}"
            )


def build_bundle(
    out: str | Path, backbone: Backbone, sample: Iterable[Example], recipe: BundleRecipe
) -> BuildSummary:
    """Writes an encoder bundle; the folder appears only when it is complete.

    Args:
        out: the folder to write; must not exist, or be empty.
        backbone: the network and its preprocessing spec.
        sample: images of the corpus, a few thousand; they calibrate int8 and fit the projection.
        recipe: what it is to be.

    Raises:
        LookalikeError: if the folder is in use, if no image of the sample can be read, if there are too few, or too
            few classes, for the projection, if embeddings are not finite, or TFLite or OpenVINO does not know a layer.
        OSError: if the folder cannot be written.
    """
    out = Path(out).resolve()  # of a link, the empty folder that it leads to
    if out.exists() and any(out.iterdir()):
        raise LookalikeError(f"Expected a new folder for the encoder. Received one that holds files: {out}")
    instructions = (recipe.instructions or best_instructions()) if recipe.variant == "openvino" else None
    if instructions:
        imports.openvino()
        imports.nncf()
        check_processor(instructions, out)
    preprocess = parse_spec(backbone.preprocessing)
    scales = recipe.test_time_augmentation.preprocessings(preprocess)
    with waiting("reading the sample"):
        pixels, labels, unreadable = _read_sample(scales, sample)
    if not len(pixels):
        raise LookalikeError(f"No image of the sample could be read; {len(unreadable)} were tried.")
    dim = _fitting_dim(recipe, len(pixels), backbone.network.output_shape[-1])
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.tmp-", dir=out.parent))
    try:
        logger.info("exporting the float network")
        _export(backbone.network, folder / SAVED_MODEL)
        # Spread over the sample, so that a corpus sorted by class calibrates on all of them.
        chosen = np.unique(np.linspace(0, len(pixels) - 1, min(CALIBRATION_IMAGES, len(pixels))).astype(int))
        logger.info("calibrating int8 on %d images", len(chosen))
        (folder / TFLITE).write_bytes(_quantise(folder / SAVED_MODEL, preprocess, pixels[chosen, 0]))
        if instructions:
            xml, weights = openvino_export.quantise(
                folder / SAVED_MODEL, preprocess, pixels[chosen, 0], BATCH, instructions
            )
            (folder / OPENVINO).write_bytes(xml)
            (folder / WEIGHTS).write_bytes(weights)
        manifest = {
            "format": FORMAT,
            "name": recipe.name,
            "dim": backbone.network.output_shape[-1],
            "preprocessing": preprocess.spec,
            "pooling": recipe.pooling,
            "projection": None,
            "unit_length": recipe.unit_length,
            "variant": recipe.variant,
            KEY: post_processing_json(recipe.post_processing),
        }
        if instructions:
            manifest["instructions"] = instructions
        if section := recipe.test_time_augmentation.as_manifest():
            manifest["views"] = section
        _write_manifest(folder, manifest)
        summary, unlabelled = "none", 0
        if dim is not None:
            logger.info("fitting the projection on %d images", len(pixels))
            fitted, summary, unlabelled = _fit_projection(folder, recipe, dim, pixels, labels)
            manifest |= fitted
            _write_manifest(folder, manifest)
        held_out = np.setdiff1d(np.arange(len(pixels)), chosen)
        shown = pixels[held_out if len(held_out) else chosen][:64]
        with waiting("comparing the variants"):
            agreement, rates = _compared(folder, recipe.variant, shown)
        if not np.isfinite(agreement):
            raise LookalikeError(
                f"Expected finite embeddings of the sample that are not zero. Received others from {recipe.name}: its "
                "weights or its preprocessing may not be what they should"
            )
        if out.exists():
            out.rmdir()
        folder.chmod(0o755)
        os.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return BuildSummary(
        fingerprint(manifest),
        manifest["dim"],
        len(pixels),
        unlabelled,
        unreadable,
        summary,
        recipe.variant,
        agreement,
        rates,
    )


def _fitting_dim(recipe: BundleRecipe, images: int, features: int) -> int | None:
    """The dimensions to project to. Raises LookalikeError, before any work, where there cannot be so many."""
    if recipe.dim is None or recipe.projection == "lda":
        return recipe.dim
    # The mean is taken off, so that n images lie in n - 1 dimensions.
    fitting = max(1, min(recipe.dim, images - 1, features))
    if not recipe.fewer_dims:
        check_enough(recipe.dim, images, features)
    elif fitting < recipe.dim:
        logger.warning(
            "%s dimensions instead of %s: the sample has %s readable images, the network %s features; build the "
            "encoder again once there are more images",
            *(fitting, recipe.dim, images, features),
        )
    return fitting if recipe.fewer_dims else recipe.dim


def _fit_projection(
    folder: Path, recipe: BundleRecipe, dim: int, pixels: np.ndarray, labels: Sequence[str | None]
) -> tuple[dict[str, Any], str, int]:
    """Fits the projection of a bundle that has everything else, and writes it there.

    Returns:
        What changes in the manifest, what there is in words, and the number of images without a class that it was
        not fitted on.
    """
    kind = recipe.projection or "pca"
    # On the features of the variant that will be used: their errors are part of what it projects.
    features, unlabelled = Encoder.load(folder).features(pixels), 0
    if kind == "lda":
        known = np.array([label is not None for label in labels])
        unlabelled = int((~known).sum())
        if not known.any():
            raise LookalikeError(
                "A discriminant projection needs images with a class. Received: none in the sample; check the label"
            )
        features, labels = features[known], [label for label in labels if label is not None]
    fitted = _fit(kind, dim, recipe.shrinkage, features, labels)
    variance = float(_kept(fitted, features))
    fitted.save(folder / PROJECTION)
    summary = f"{kind}, {fitted.dim} dimensions fitted on {len(features):,} images"
    if kind == "pca":
        summary += f", whose variance it keeps to {variance:.1%}"
    section = {"kind": kind, "variance": round(variance, 6)}
    return {"dim": fitted.dim, "projection": section}, summary, unlabelled


def _export(network: Any, path: Path) -> None:
    tf = imports.tensorflow()

    try:
        with quiet():
            network.export(str(path), verbose=False)
    except tf.errors.OpError as error:  # a full disk, for one
        raise OSError(f"Cannot write {path}: {error.message}") from None


def _read_sample(
    scales: Sequence[Preprocess], sample: Iterable[Example]
) -> tuple[np.ndarray, list[str | None], dict[int, str]]:
    """Pixels (images, scales, height, width, 3) and labels of the readable images; why others are not."""
    pixels: list[np.ndarray] = []
    labels: list[str | None] = []
    unreadable: dict[int, str] = {}
    for position, example in enumerate(sample):
        try:
            # No picture has been met before, and one of them may end the process that decodes it.
            pixels.append(read_pixels(scales, example.image, suspect=True)[0])
            labels.append(example.label)
        except ImageError as error:
            unreadable[position] = str(error)
    shape = (0, len(scales), scales[0].height, scales[0].width, 3)
    return (np.stack(pixels) if pixels else np.empty(shape, np.uint8)), labels, unreadable


def _fit(
    kind: str, dim: int, shrinkage: float | None, features: np.ndarray, labels: Sequence[str | None]
) -> Projection:
    if kind == "pca":
        return PCA(dim).fit(features)
    if kind == "whitened":
        return WhitenedPCA(dim, shrinkage).fit(features)
    # There is nothing to tell apart in more dimensions.
    return LDA(min(dim, features.shape[1], max(1, len(set(labels)) - 1)), shrinkage).fit(
        features, [str(label) for label in labels]
    )


def _kept(projection: Projection, features: np.ndarray) -> float:
    """The share of the features' variance that lies in the directions of a projection."""
    directions = np.linalg.qr(projection.components_.T.astype(np.float64))[0]
    return ((features - projection.mean_) @ directions).var(axis=0).sum() / features.var(axis=0).sum()


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes `encoder.json` with the digests of all files beside it, and its own."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    manifest["files"] = {str(path.relative_to(folder)): sha256_file(path) for path in paths}
    manifest["digest"] = manifest_digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _quantise(saved_model: Path, preprocess: Preprocess, pixels: np.ndarray) -> bytes:
    """Full-integer TFLite model: uint8 pixels in, float32 (or for a feature map int8) out."""
    tf = imports.tensorflow()

    def representative() -> Iterator[Sequence[np.ndarray]]:
        # The extremes make the input's scale exactly that of the pixels, so that no pixel is rounded.
        extremes = np.zeros((1, *pixels.shape[1:]), np.uint8)
        extremes[:, ::2] = 255
        for image in (*pixels[:, None], extremes):
            yield [preprocess.normalize(image)]

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    try:
        with quiet():
            return bytes(converter.convert())
    except Exception as error:  # of several kinds, as the converter is called through two languages
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise LookalikeError(
            f"The network has a layer that TFLite cannot compute in eight bits. Received: {reason}"
        ) from None


def _compared(folder: Path, variant: str, pixels: np.ndarray) -> tuple[float, dict[str, float]]:
    """`agreement` and `rates` of a `BuildSummary`, on images (n, scales, height, width, 3)."""
    vectors, rates = {}, {}
    for name in ("int8", "float", *(["openvino"] if variant == "openvino" else [])):
        opened = Encoder.load(folder, variant=name, threads=1)
        vectors[name] = unit_length(opened.encode_pixels(pixels))
        rates[name] = opened.rate(pixels[:, 0])
    compared = vectors["int8" if variant == "float" else variant]
    return float((compared * vectors["float"]).sum(axis=1).mean()), rates
