"""The operations of a spec: the size each gives, what it knows of it beforehand, and the arguments it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lookalike.model.images.operations import OPERATIONS, Shape

UNKNOWN = Shape()
GEOMETRY = [
    ("resize_short", (8,), (20, 10), (16, 8), Shape(short=8)),
    ("resize_short", (8,), (4, 4), (8, 8), Shape(short=8)),
    ("resize", (6, 9), (20, 10), (6, 9), Shape(6, 9, 6)),
    ("resize", (7, 7), (20, 10), (7, 7), Shape(7, 7, 7, True)),
    ("center_crop", (5,), (20, 10), (5, 5), Shape(5, 5, 5, True)),
    ("center_crop", (5, 12), (20, 10), (5, 12), Shape(5, 12, 5)),
    ("pad_square", (), (20, 10), (20, 20), Shape(square=True)),
    ("pad_square", (0,), (3, 10), (10, 10), Shape(square=True)),
]


@pytest.mark.parametrize(("name", "arguments", "before", "after", "known"), GEOMETRY)
def test_a_picture_ends_with_the_size_that_was_announced(
    name: str, arguments: tuple[int, ...], before: tuple[int, int], after: tuple[int, int], known: Shape
) -> None:
    operation = OPERATIONS[name](*arguments)
    assert operation.size(*before) == after
    assert operation.shape(UNKNOWN) == known
    assert operation.apply(np.zeros((*before, 3), np.uint8), *after).shape == (*after, 3)


def test_of_a_square_the_shorter_side_is_known_and_so_is_the_other() -> None:
    assert OPERATIONS["resize_short"](8).shape(Shape(square=True)) == Shape(8, 8, 8, True)
    assert OPERATIONS["pad_square"]().shape(Shape(6, 9, 6)) == Shape(9, 9, 9, True)


@pytest.mark.parametrize(("crop", "before"), [((9,), Shape(short=8)), ((4, 7), Shape(6, 6, 6, True))])
def test_a_crop_that_is_certain_to_need_white_is_refused(crop: tuple[int, ...], before: Shape) -> None:
    with pytest.raises(ValueError, match="a crop no larger than the resized picture"):
        OPERATIONS["center_crop"](*crop).shape(before)


def test_a_crop_that_may_fit_is_not_refused() -> None:
    assert OPERATIONS["center_crop"](4, 9).shape(Shape(short=8)) == Shape(4, 9, 4)


def test_numbers_of_normalize_are_three_or_one_for_all() -> None:
    mean, std = OPERATIONS["normalize"]((1, 2, 3), 4)
    assert (mean.tolist(), std.tolist()) == ([1, 2, 3], [4, 4, 4])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("resize_short", (0,), "n must be a whole number from 1 to 16384; received 0"),
        ("resize_short", (True,), "received True"),
        ("resize", (8, 20_000), "width must be a whole number"),
        ("center_crop", (2.5,), "height must be a whole number"),
        ("pad_square", (256,), "value must be a whole number from 0 to 255"),
        ("window", (40, 0.5), "width must be a number from 1 to 1e[+]30; received 0.5"),
        ("window_percentile", (50, 50), "low must be less than high"),
        ("window_percentile", (-1, 50), "low must be a number from 0 to 100"),
        ("normalize", ((1, 2), 1), "mean must be a number or three"),
        ("normalize", (0, float("nan")), "std must be a number or three"),
        ("normalize", (0, 0), "std must be greater than 0"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_was_expected(
    name: str, arguments: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        OPERATIONS[name](*arguments)
