"""Augmentation: what comes out, that it can be repeated, and that it is the same inside `tf.data`."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from lookalike.model.training.augmentation import OFF, Augmentation, build_augmentation

SIZE = 24
ALL = {
    "crop": (0.4, 1.0),
    "flip": "horizontal",
    "rotation": 20.0,
    "zoom": 0.2,
    "translation": 0.2,
    "brightness": 0.2,
    "contrast": 0.3,
    "saturation": 0.5,
    "hue": 0.1,
    "rand_augment": 1,
    "erasing": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
}


def only(**settings) -> Augmentation:
    return Augmentation(**{**OFF.model_dump(), **settings})


def pixels(count: int = 6) -> np.ndarray:
    """Smooth random pictures, each with its own colours."""
    small = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    return np.stack([cv2.resize(picture, (SIZE, SIZE)) for picture in small])


def labels(count: int = 6) -> np.ndarray:
    return np.eye(count, dtype=np.float32)


def flat(*values: int) -> np.ndarray:
    """Pictures of one grey each."""
    return np.stack([np.full((SIZE, SIZE, 3), value, np.float32) for value in values])


def run(settings: Augmentation, images=None, step: int = 0, seed: int = 1):
    images = pixels() if images is None else images
    changed, mixed = build_augmentation(settings, SIZE, seed)(images, labels(len(images)), step)
    return changed.numpy(), mixed.numpy()


def in_dataset(augment, first: int, end: int) -> list[np.ndarray]:
    """The batches of these steps."""
    dataset = tf.data.Dataset.range(first, end).map(
        lambda step: augment(pixels(), labels(), step), num_parallel_calls=2
    )
    return [changed.numpy() for changed, _ in dataset]


CASES = [pytest.param(only(**{key: value}), id=key) for key, value in ALL.items()]
CASES.append(pytest.param(Augmentation(**ALL), id="all"))


@pytest.mark.parametrize("settings", CASES)
def test_changes_pictures_within_the_range(settings):
    changed, mixed = run(settings)
    assert changed.shape == (6, SIZE, SIZE, 3)
    assert changed.dtype == mixed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert not np.allclose(changed, pixels(), atol=1)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("settings", CASES)
def test_the_step_decides_inside_a_dataset_and_out_of_it(settings):
    augment = build_augmentation(settings, SIZE, 1)
    inside = in_dataset(augment, 0, 2)
    for step, batch in enumerate(inside):
        # TensorFlow may order the arithmetic of the two in different ways.
        np.testing.assert_allclose(augment(pixels(), labels(), step)[0], batch, atol=1e-3)
    assert not np.array_equal(inside[0], inside[1])


@pytest.mark.slow
def test_the_same_seed_goes_on_with_the_same_pictures_and_another_does_not():
    settings = only(flip="horizontal", rotation=20.0, erasing=0.5, cutmix=1.0)
    one, other, different = (build_augmentation(settings, SIZE, seed) for seed in (1, 1, 2**40 + 1))
    all_steps = in_dataset(one, 0, 3)
    np.testing.assert_array_equal(in_dataset(other, 2, 3)[0], all_steps[2])
    assert not np.array_equal(in_dataset(different, 2, 3)[0], all_steps[2])


def test_nothing_is_changed_when_all_is_off():
    changed, same = run(OFF)
    np.testing.assert_array_equal(changed, pixels())
    np.testing.assert_array_equal(same, labels())
    assert not OFF.makes_soft_labels


def test_labels_that_are_not_mixed_may_be_anything():
    names = tf.constant(["a", "b"])
    _, same = build_augmentation(Augmentation(), SIZE, 0)(pixels(2), names, 0)
    assert same.numpy().tolist() == [b"a", b"b"]


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_labels_are_mixed_as_the_pictures_are(way):
    settings = only(**{way: 1.0})
    assert settings.makes_soft_labels
    # Picture i is 10 i in all pixels, so its mean is 10 times the mean class.
    values = range(0, 240, 10)
    changed, mixed = run(settings, flat(*values))
    assert (mixed > 0).sum(axis=1).max() == 2
    tolerance = 0.1 if way == "mixup" else 240 * 2 * 2 / SIZE  # CutMix's rectangle ends between two pixels
    np.testing.assert_allclose(changed.mean(axis=(1, 2, 3)), mixed @ np.array(values), atol=tolerance)
    assert not np.array_equal(mixed, labels(24))


def test_cutmix_puts_rectangles_of_other_pictures_in():
    changed, _ = run(only(cutmix=1.0), flat(0, 80, 160, 240))
    assert set(np.unique(changed)) <= {0, 80, 160, 240}


def test_of_two_ways_to_mix_each_batch_gets_one():
    pictures = flat(0, 80, 160, 240)
    augment = build_augmentation(only(mixup=1.0, cutmix=1.0), SIZE, 0)
    batches = [augment(pictures, labels(4), step)[0].numpy() for step in range(12)]
    cut = [set(np.unique(batch)) <= {0, 80, 160, 240} for batch in batches]
    assert 0 < sum(cut) < 12


def test_a_flip_mirrors_some_and_keeps_others():
    changed, _ = run(only(flip="horizontal"), np.repeat(pixels(1), 32, axis=0))
    kept = [np.array_equal(one, pixels(1)[0]) for one in changed]
    mirrored = [np.array_equal(one, pixels(1)[0][:, ::-1]) for one in changed]
    assert all(a != b for a, b in zip(kept, mirrored, strict=True))
    assert 4 < sum(kept) < 28


def test_translation_goes_its_own_way_along_each_side():
    """A seed given to Keras's layer for a call would draw the same number for both."""
    spot = np.zeros((64, SIZE, SIZE, 3), np.float32)
    spot[:, 11:13, 11:13] = 255
    changed, _ = run(only(translation=0.3), spot)
    weights = changed[..., 0] / changed[..., 0].sum(axis=(1, 2), keepdims=True)
    places = np.stack([(weights.sum(axis=2) @ np.arange(SIZE)), (weights.sum(axis=1) @ np.arange(SIZE))])
    assert abs(np.corrcoef(places)[0, 1]) < 0.4
    assert places.min() < 8
    assert places.max() > 15


def test_contrast_goes_both_ways():
    """Keras's layer, given one number, only ever raises it."""
    changed, _ = run(only(contrast=0.3), np.repeat(pixels(1), 64, axis=0) // 4 + 96)
    spread = changed.std(axis=(1, 2, 3)) / (pixels(1) // 4 + 96).std()
    assert 0.69 < spread.min() < 0.8
    assert 1.2 < spread.max() < 1.31


def test_saturation_keeps_grey_grey_and_stays_in_proportion():
    changed, _ = run(only(saturation=0.5), flat(100, 200))
    np.testing.assert_allclose(changed, flat(100, 200), atol=0.01)
    picture = np.tile(np.float32([100, 60, 60]), (64, SIZE, SIZE, 1))
    changed, _ = run(only(saturation=0.5), picture)
    ratio = (changed[:, 0, 0, 0] - changed[:, 0, 0, 1]) / 40
    assert 0.49 < ratio.min() < 0.7
    assert 1.3 < ratio.max() < 1.51


def test_brightness_stays_within_its_share():
    changed, _ = run(only(brightness=0.2), np.repeat(flat(128), 64, axis=0))
    moved = changed[:, 0, 0, 0] - 128
    assert -51.1 < moved.min() < -35
    assert 35 < moved.max() < 51.1


def test_erasing_happens_as_often_as_it_should():
    """Keras's layer, given one number, erases half as often."""
    changed, _ = run(only(erasing=0.5), np.repeat(flat(10), 200, axis=0))
    erased = [(picture == 127).any() for picture in changed]
    assert 75 < sum(erased) < 125
    assert set(np.unique(changed)) == {10, 127}


def test_a_crop_shows_a_part_scaled_up():
    ramp = np.tile(np.arange(SIZE, dtype=np.float32)[:, None, None] * 10, (64, 1, SIZE, 3))
    changed, _ = run(only(crop=(0.25, 0.25)), ramp)
    heights = (changed[:, -1, 0, 0] - changed[:, 0, 0, 0]) / (10 * (SIZE - 1))
    assert (heights > 0.5 * np.sqrt(3 / 4) - 0.01).all()
    assert (heights < 0.5 * np.sqrt(4 / 3) + 0.01).all()
    assert np.ptp(changed[:, 0, 0, 0]) > 60


def test_a_crop_takes_pictures_of_any_size():
    large = np.zeros((2, 40, 50, 3), np.uint8)
    assert run(only(crop=(0.5, 1.0)), large)[0].shape == (2, SIZE, SIZE, 3)


def test_pictures_of_another_size_are_not_taken_without_a_crop():
    with pytest.raises(ValueError, match="must be equal, but are 24 and 40"):
        run(Augmentation(), np.zeros((2, 40, 50, 3), np.uint8))


@pytest.mark.slow
def test_rand_augment_chooses_for_each_picture_and_does_little_where_the_magnitude_is_low():
    same = np.repeat(pixels(1), 24, axis=0)
    weak, strong = (run(only(rand_augment=1, magnitude=magnitude), same)[0] for magnitude in (0.05, 0.9))
    assert len(np.unique(strong.reshape(24, -1), axis=0)) > 12
    less, more = (np.median(np.abs(changed - same).mean(axis=(1, 2, 3))) for changed in (weak, strong))
    assert less < more / 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rotation": 200}, "less than or equal to 180"),
        ({"crop": (0.0, 0.5)}, "two shares above 0"),
        ({"crop": (0.6, 0.5)}, "two shares above 0"),
        ({"cutmix": 0.01}, "0.2 and more"),
        ({"flip": "vertical"}, "'horizontal' or 'none'"),
        ({"rotate": 3}, "Extra inputs"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        Augmentation(**settings)
