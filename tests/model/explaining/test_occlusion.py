"""Covering places of a picture."""

import numpy as np

from lookalike.model.explaining.occlusion import blurred, occlusion_map, replaced

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)


def test_the_share_of_a_place_is_what_the_score_loses_without_it():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:32, 48:] = 255  # row 1, column 3 of 4

    def score_of(pictures):
        return pictures[:, 22:26, 54:].mean(axis=(1, 2, 3)) / 255

    shares = occlusion_map(pixels, score_of, cells=4)
    assert shares.shape == (4, 4)
    assert shares[1, 3] > 0.3
    assert np.abs(np.delete(shares.ravel(), 7)).max() < 0.2


def test_a_place_is_replaced_by_that_of_the_other_picture_and_far_from_it_nothing_is():
    chosen = np.zeros((2, 3), bool)
    chosen[1, 2] = True
    made = replaced(PIXELS, np.zeros_like(PIXELS), chosen)
    assert not made[12:, 20:].any()
    assert np.array_equal(made[:4], PIXELS[:4])
    assert np.array_equal(made[:, :12], PIXELS[:, :12])
    assert np.array_equal(replaced(PIXELS, made, ~np.zeros((2, 3), bool)), made)


def test_a_blurred_picture_keeps_its_colour_and_loses_its_contrast():
    cover = blurred(PIXELS)
    assert cover.shape == PIXELS.shape
    assert abs(float(cover.mean()) - float(PIXELS.mean())) < 5
    assert cover.std() < PIXELS.std() / 5
