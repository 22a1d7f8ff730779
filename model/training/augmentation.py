"""Augmentation: training pictures, changed at random the same way in every run.

The changes are Keras's own layers. What they draw depends on the seed and the number of the step, on nothing that
came before, so that training that was stopped goes on with the pictures it would have had. Keras offers its layers
a `seed` for each call, but some ignore it (RandAugment, RandomColorJitter), and those that draw twice draw the same
number twice: a picture would only ever move along its diagonal. Hence `_step_seeds`.

Values are 0..255 from end to end, before normalisation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from .. import imports
from ..settings import Section

Share = Annotated[float, Field(ge=0, le=1)]
Alpha = Annotated[float, Field(ge=0, le=10)]
Augment = Callable[[Any, Any, Any], tuple[Any, Any]]


class Augmentation(Section):
    """What is done to training pictures; 0 and none turn a change off."""

    flip: Literal["horizontal", "none"] = Field("horizontal", description="mirror every other picture")
    crop: tuple[Share, Share] | None = Field(
        None,
        strict=False,
        description="a part of this share of the picture's area, scaled up, such as [0.35, 1.0]",
    )
    rotation: float = Field(10, ge=0, le=180, description="degrees, at the most, either way")
    zoom: float = Field(0.1, ge=0, le=0.9, description="in or out by this share of the size, at the most")
    translation: Share = Field(0.1, description="along each side by this share of it, at the most")
    brightness: Share = Field(0.1, description="lighter or darker by this share of the range, at the most")
    contrast: Share = Field(0.1, description="more or less by this share, at the most")
    saturation: Share = Field(0, description="more or less by this share, at the most")
    hue: float = Field(
        0, ge=0, le=0.5, description="round the colour circle by this share of it, at the most"
    )
    rand_augment: int = Field(0, ge=0, le=10, description="RandAugment: how many changes for each picture")
    magnitude: Share = Field(0.3, description="RandAugment: how strong; 1 is the strongest of the paper")
    erasing: Share = Field(0, description="probability that a rectangle of the picture turns grey")
    mixup: Alpha = Field(0, description="MixUp: parameter of the beta distribution, such as 0.2")
    cutmix: Share = Field(0, description="CutMix: parameter of the beta distribution, such as 1")

    @field_validator("crop")
    @classmethod
    def _check_crop(cls, crop: tuple[float, float] | None) -> tuple[float, float] | None:
        if crop is not None and not 0 < crop[0] <= crop[1]:
            raise ValueError(f"two shares above 0 are expected, the smaller first, not {list(crop)}")
        return crop

    @field_validator("mixup", "cutmix")
    @classmethod
    def _check_alpha(cls, alpha: float) -> float:
        # Below it both gamma variates that Keras divides underflow now and then: the picture would be NaN.
        if 0 < alpha < 0.2:
            raise ValueError(f"0, or 0.2 and more, is expected, not {alpha}")
        return alpha

    @property
    def makes_soft_labels(self) -> bool:
        """Whether labels are mixed: only for a loss that takes a share of several classes."""
        return bool(self.mixup or self.cutmix)


OFF = Augmentation(flip="none", rotation=0, zoom=0, translation=0, brightness=0, contrast=0)
"""Changes nothing."""


def build_augmentation(settings: Augmentation, size: int, seed: int) -> Augment:
    """Makes the function that changes a batch.

    Args:
        settings: what to do.
        size: height and width of the pictures that come out, pixels.
        seed: decides everything, together with the step.

    Returns:
        augment(pixels, labels, step) -> (pixels, labels), for use inside `tf.data` or out of it. `pixels`: RGB 0..255
        of any type, (batch, size, size, 3), or with a crop (batch, any, any, 3); they come out float32 0..255,
        (batch, size, size, 3). `labels`: anything, passed through; where they are mixed, numbers (batch, classes),
        which come out float32. `step`: an integer, the number of the batch since training began; it must not start
        at 0 again with each epoch.
    """
    tf = imports.tensorflow()

    seeds = _step_seeds()
    changes: list[Callable[[Any], Any]] = [_crop(settings.crop, size, seeds)] if settings.crop else []
    changes += _geometry(settings, seeds)
    changes += _colour(settings, seeds)
    if settings.rand_augment:
        changes.append(_rand_augment(settings.rand_augment, settings.magnitude, seeds))
    if settings.erasing:
        changes.append(_erasing(settings.erasing, seeds))
    mix = _mix(settings, seeds) if settings.makes_soft_labels else None
    low, high = seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF

    @tf.function(autograph=False, reduce_retracing=True)
    def augment(pixels: Any, labels: Any, step: Any) -> tuple[Any, Any]:
        seeds.restart(tf.random.experimental.stateless_fold_in([low, high], step))
        pixels = tf.cast(pixels, tf.float32)
        for change in changes:
            pixels = change(pixels)
        pixels = tf.ensure_shape(pixels, (None, size, size, 3))
        if mix:
            pixels, labels = mix(pixels, tf.cast(labels, tf.float32))
        return tf.clip_by_value(pixels, 0, 255), labels

    return lambda pixels, labels, step: augment(pixels, labels, tf.cast(step, tf.int64))


def _step_seeds() -> Any:
    """A Keras seed generator without state: it numbers the draws of a step while the step's graph is traced."""
    tf = imports.tensorflow()
    generator: Any = imports.keras().random.SeedGenerator

    class StepSeeds(generator):
        def restart(self, key: Any) -> None:
            """Begins a step; `key`: int32 (2,)."""
            self._key, self._draws = key, 0

        def next(self, ordered: bool = True) -> Any:
            self._draws += 1
            return tf.random.experimental.stateless_fold_in(self._key, self._draws)

    return StepSeeds(0)


def _drawing_from(seeds: Any, layer: Any) -> Callable[[Any], Any]:
    """The layer as a function that changes what it is given, with `seeds` deciding how."""
    layer.generator = seeds
    # Inside tf.data Keras takes a layer to be at inference unless it is told.
    return lambda data: layer(data, training=True)


def _crop(area: tuple[float, float], size: int, seeds: Any) -> Callable[[Any], Any]:
    """A random part of each picture, resized: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.

    Keras's RandomCrop takes parts of one size only, and for a whole batch from the same place.
    """
    keras, tf = imports.keras(), imports.tensorflow()

    def crop(pixels: Any) -> Any:
        count = tf.shape(pixels)[:1]
        share = keras.random.uniform(count, *area, seed=seeds)
        aspect = tf.exp(keras.random.uniform(count, -math.log(4 / 3), math.log(4 / 3), seed=seeds))
        height, width = tf.minimum(tf.sqrt(share / aspect), 1), tf.minimum(tf.sqrt(share * aspect), 1)
        top = keras.random.uniform(count, seed=seeds) * (1 - height)
        left = keras.random.uniform(count, seed=seeds) * (1 - width)
        boxes = tf.stack([top, left, top + height, left + width], axis=1)
        return tf.image.crop_and_resize(pixels, boxes, tf.range(count[0]), (size, size))

    return crop


def _geometry(settings: Augmentation, seeds: Any) -> list[Callable[[Any], Any]]:
    layers = imports.keras().layers

    made = []
    if settings.flip == "horizontal":
        made.append(layers.RandomFlip("horizontal"))
    if settings.rotation:
        made.append(layers.RandomRotation(settings.rotation / 360))
    if settings.zoom:
        made.append(layers.RandomZoom((-settings.zoom, settings.zoom)))
    if settings.translation:
        made.append(layers.RandomTranslation(settings.translation, settings.translation))
    return [_drawing_from(seeds, layer) for layer in made]


def _colour(settings: Augmentation, seeds: Any) -> list[Callable[[Any], Any]]:
    layers = imports.keras().layers

    made = []
    if settings.brightness:
        made.append(_drawing_from(seeds, layers.RandomBrightness(settings.brightness)))
    if share := settings.contrast:
        # Given one number, Keras only ever raises contrast.
        made.append(_drawing_from(seeds, layers.RandomContrast((share, share))))
    if share := settings.saturation:
        # A factor f multiplies by f / (1 - f). Of the range 0..255 Keras would let saturation, which ends at 1, pass.
        factor = ((1 - share) / (2 - share), (1 + share) / (2 + share))
        change = _drawing_from(seeds, layers.RandomSaturation(factor, value_range=(0, 1)))
        made.append(lambda pixels: change(pixels / 255) * 255)
    if settings.hue:
        # Keras halves the factor.
        made.append(_drawing_from(seeds, layers.RandomHue(2 * settings.hue)))
    return made


def _erasing(probability: float, seeds: Any) -> Callable[[Any], Any]:
    """Zhong et al., "Random Erasing Data Augmentation", AAAI 2020."""
    layers = imports.keras().layers

    # Given one number, Keras draws the probability between 0 and it.
    return _drawing_from(seeds, layers.RandomErasing((probability, probability), fill_value=127))


def _rand_augment(count: int, magnitude: float, seeds: Any) -> Callable[[Any], Any]:
    """Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", CVPRW 2020.

    Keras has a layer of this name. It computes all changes and throws away all but `count` (66 ms a picture of 224
    pixels on one core), makes the same choice for a whole batch, turns and moves to one side only, and posterises most
    where the magnitude is least. This one is made of the same layers but for Solarization, whose threshold cannot be
    kept high and so inverts most of the picture.
    """
    keras, tf = imports.keras(), imports.tensorflow()
    layers = keras.layers

    each = _step_seeds()
    m = magnitude
    changes = [
        _drawing_from(each, layer)
        for layer in (
            layers.AutoContrast(),
            layers.Equalization(),
            layers.RandomRotation(30 * m / 360),
            layers.RandomShear((0, 0.3 * m), (0, 0)),
            layers.RandomShear((0, 0), (0, 0.3 * m)),
            layers.RandomTranslation(0.3 * m, 0),
            layers.RandomTranslation(0, 0.3 * m),
            layers.RandomBrightness(0.45 * m),
            layers.RandomContrast((0.9 * m, 0.9 * m)),
            layers.RandomColorDegeneration(0.9 * m),
            layers.RandomSharpness((0.5 - 0.45 * m, 0.5 + 0.45 * m)),
            layers.RandomPosterization(8 - round(4 * m)),
        )
    ]

    def one(item: tuple[Any, Any]) -> Any:
        image, number = item
        each.restart(tf.random.experimental.stateless_fold_in(key, number))
        image = image[None]
        for _ in range(count):
            choice = keras.random.randint((), 0, len(changes), seed=each)
            image = tf.switch_case(choice, [functools.partial(change, image) for change in changes])
        return image[0]

    key: Any = None

    def rand_augment(pixels: Any) -> Any:
        nonlocal key
        key = seeds.next()
        signature = tf.TensorSpec(pixels.shape[1:], tf.float32)
        return tf.map_fn(one, (pixels, tf.range(tf.shape(pixels)[0])), fn_output_signature=signature)

    return rand_augment


def _mix(settings: Augmentation, seeds: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Pictures and labels mixed in the same proportion; where both ways are on, each batch gets one of them.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; Yun et al., "CutMix: Regularization Strategy
    to Train Strong Classifiers with Localizable Features", ICCV 2019.
    """
    keras, tf = imports.keras(), imports.tensorflow()
    layers = keras.layers

    ways = []
    if settings.mixup:
        ways.append(_drawing_from(seeds, layers.MixUp(settings.mixup)))
    if settings.cutmix:
        # Given one number, Keras draws alpha between 0 and it, and near 0 the weights are NaN.
        ways.append(_drawing_from(seeds, layers.CutMix((settings.cutmix, settings.cutmix))))

    def mix(pixels: Any, labels: Any) -> tuple[Any, Any]:
        def way(number: int) -> tuple[Any, Any]:
            mixed = ways[number]({"images": pixels, "labels": labels})
            return mixed["images"], mixed["labels"]

        choice = keras.random.randint((), 0, len(ways), seed=seeds)
        return tf.switch_case(choice, [functools.partial(way, number) for number in range(len(ways))])

    return mix
