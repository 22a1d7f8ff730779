"""Curves of scores while places go."""

import numpy as np

from lookalike.model.explaining.removal import area, by_share_of, removal_areas, removal_curve

WHITE = np.full((16, 16, 3), 255, np.uint8)
BLACK = np.zeros_like(WHITE)


def corner(pictures):
    """A score that only knows the upper left corner."""
    return pictures[:, :4, :4].mean(axis=(1, 2, 3)) / 255


def test_the_curve_goes_from_one_picture_to_the_other_in_the_order_that_is_given():
    order = np.array([[3, 0], [1, 2]])
    assert removal_curve(WHITE, BLACK, order, corner, 4).tolist() == [1, 1, 1, 1, 0]
    assert removal_curve(WHITE, BLACK, 3 - order, corner, 2).tolist() == [1, 0, 0]


def test_the_greatest_share_goes_first_and_equal_ones_as_they_stand():
    assert by_share_of(np.array([[0.1, 0.4], [-0.2, 0.1]])).tolist() == [[1, 0], [3, 2]]


def test_the_area_is_the_mean_of_a_curve_of_straight_lines():
    assert area(np.array([1.0, 0.0, 0.0])) == 0.25


def test_a_right_map_is_below_chance_when_places_go_and_above_it_when_they_come():
    right = np.zeros((4, 4))
    right[:2, :2] = 0.25
    for shares, sign in ((right, 1), (-right, -1)):
        gone = removal_areas(WHITE, BLACK, shares, corner)
        come = removal_areas(BLACK, WHITE, shares, corner)
        assert sign * (gone.at_random - gone.by_share) > 0.2
        assert sign * (come.by_share - come.at_random) > 0.2
