"""The operations of a preprocessing spec: what each does to a picture, and what it says of the picture's size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import geometry
from .levels import PercentileWindow, Window


class Shape(NamedTuple):
    """What is known of a picture's size before there is a picture; None where it depends on the picture."""

    height: int | None = None
    width: int | None = None
    short: int | None = None
    square: bool = False


@dataclass(frozen=True)
class Operation:
    """One step between decode and normalize: name and arguments as in the spec, and what it does.

    Attributes:
        shape: what is known of the picture after it, given what was known before.
        size: (height, width) after it, given those before.
        apply: uint8 (h, w, 3), and the size it is to end with -> uint8 (height, width, 3).
    """

    name: str
    arguments: tuple[Any, ...]
    shape: Callable[[Shape], Shape]
    size: Callable[[int, int], tuple[int, int]]
    apply: Callable[[np.ndarray, int, int], np.ndarray]


def _resize_short(n: int) -> Operation:
    _whole("n", n)
    return Operation(
        "resize_short",
        (n,),
        lambda before: Shape(n, n, n, True) if before.square else Shape(short=n),
        lambda height, width: geometry.short_side_size(height, width, n),
        geometry.resize,
    )


def _resize(height: int, width: int) -> Operation:
    _whole("height", height)
    _whole("width", width)
    after = Shape(height, width, min(height, width), height == width)
    return Operation("resize", (height, width), lambda _: after, lambda *_: (height, width), geometry.resize)


def _center_crop(height: int, width: int | None = None) -> Operation:
    arguments = (height,) if width is None else (height, width)
    width = height if width is None else width
    _whole("height", height)
    _whole("width", width)
    after = Shape(height, width, min(height, width), height == width)

    def shape(before: Shape) -> Shape:
        # Of a picture whose shorter side is known, a crop larger both ways is certain to need white.
        small = before.short is not None and before.short < min(height, width)
        if small or height > (before.height or height) or width > (before.width or width):
            raise ValueError(
                f"a crop no larger than the resized picture is expected, of {before.short} pixels"
            )
        return after

    return Operation("center_crop", arguments, shape, lambda *_: (height, width), geometry.center_crop)


def _pad_square(value: int = 255) -> Operation:
    _whole("value", value, 0, 255)

    def shape(before: Shape) -> Shape:
        if before.height is None or before.width is None:
            return Shape(square=True)
        side = max(before.height, before.width)
        return Shape(side, side, side, True)

    return Operation(
        "pad_square",
        (value,),
        shape,
        lambda height, width: (max(height, width),) * 2,
        lambda pixels, *_: geometry.pad_square(pixels, value),
    )


def _decode() -> None: ...


def _normalize(mean: Any, std: Any) -> tuple[np.ndarray, np.ndarray]:
    values = []
    for name, value in (("mean", mean), ("std", std)):
        numbers = value if isinstance(value, (tuple, list)) else (value,) * 3
        # The comparison also refuses infinity, NaN, and whole numbers too large for a float.
        if len(numbers) != 3 or not all(type(x) in (int, float) and -1e30 < x < 1e30 for x in numbers):
            raise ValueError(f"{name} must be a number or three, one for each of R, G, B; received {value!r}")
        values.append(np.array(numbers, np.float32))
    if not (values[1] > 1e-30).all():
        raise ValueError(f"std must be greater than 0; received {std!r}")
    return values[0], values[1]


def _window(center: float, width: float) -> Window:
    _real("center", center, -1e30)
    _real("width", width, 1)
    return Window(center, width)


def _window_percentile(low: float, high: float) -> PercentileWindow:
    _real("low", low, 0, 100)
    _real("high", high, 0, 100)
    if low >= high:
        raise ValueError(f"low must be less than high; received {low!r} and {high!r}")
    return PercentileWindow(low, high)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "decode": _decode,
    "resize_short": _resize_short,
    "resize": _resize,
    "center_crop": _center_crop,
    "pad_square": _pad_square,
    "window": _window,
    "window_percentile": _window_percentile,
    "normalize": _normalize,
}
"""By name: a function of the arguments as in the spec, which raises ValueError for wrong ones."""


def _whole(name: str, value: Any, least: int = 1, greatest: int = 16384) -> None:
    if type(value) is not int or not least <= value <= greatest:
        raise ValueError(f"{name} must be a whole number from {least} to {greatest}; received {value!r}")


def _real(name: str, value: Any, least: float, greatest: float = 1e30) -> None:
    if type(value) not in (int, float) or not least <= value <= greatest:
        raise ValueError(f"{name} must be a number from {least:g} to {greatest:g}; received {value!r}")
