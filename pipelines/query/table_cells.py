"""Cells of a query table: what a row asks with, and which part of its picture, from what a form of table stores.

Each function takes a column, or a value, and adds to `Problems` why a row asks nothing.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..filesystem import files
from ..sources.fields import read_json, shown
from ..sources.types import UnfitError, text_of
from .vector_files import python_values, vectors_of_column

_BOX_NAMES = ("x", "y", "width", "height")
_FAR = float(1 << 30)


@dataclass
class Problems:
    """Why rows of a block ask nothing: position -> stage and error. The first of a row counts."""

    errors: dict[int, tuple[str, str]] = field(default_factory=dict)

    def fail(self, row: int, stage: str, error: str) -> None:
        """Notes an error of a row."""
        self.errors.setdefault(row, (stage, error))


def as_list(column: Any) -> list[Any]:
    """The values of a column, which is an Arrow array or a list. Raises as `python_values`."""
    return python_values(column) if isinstance(column, pa.Array) else column


def utf8_of(text: str) -> str:
    """Text that can be written: JSON may hold half a character."""
    return text.encode("utf-8", "backslashreplace").decode()


def text_cell(value: Any, row: int, problems: Problems, stage: str, what: str) -> str | None:
    """A path, or the id of an item, which may be a whole number; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool) and what == "item_id":
        return str(value)
    try:
        text = None if value is None else text_of(value)
    except UnfitError as error:
        problems.fail(row, stage, f"the {what} cannot be used: {error}")
        return None
    if not text:
        problems.fail(row, stage, f"the {what} is {'null' if text is None else 'empty'}")
    return text or None


def place_of(folder: str, path: str) -> str:
    """Where a picture is: relative paths begin at the table's folder."""
    if files.is_remote(path) or path.startswith(("/", "file://")):
        return path
    return files.join(folder, path)


def images_of(column: Any, problems: Problems) -> pa.Array:
    """Encoded pictures, from bytes, structs of `bytes`, or base64: large_binary, null where there is none."""
    is_struct = isinstance(column, pa.Array) and pa.types.is_struct(column.type)
    if is_struct and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    found: list[bytes | None] = []
    for row, value in enumerate(as_list(column)):
        if isinstance(value, str):
            try:
                value = base64.b64decode("".join(value.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                value = None
                problems.fail(row, "read", f"the image is not base64: {error}")
        elif value is not None and not isinstance(value, bytes):
            problems.fail(row, "read", f"expected an image in base64. Received: {shown(value)}")
            value = None
        if value is None:
            problems.fail(row, "read", "the image is null")
        found.append(value)
    return pa.array(found, pa.large_binary())


def vectors_of(column: Any, dim: int, problems: Problems) -> pa.Array:
    """Vectors, from lists of numbers or text that is one: fixed size lists of float32, of zeros where there is none."""
    errors: dict[int, str] = {}
    if isinstance(column, pa.Array) and not pa.types.is_string(column.type):
        vectors = vectors_of_column(column, dim, errors)
    else:
        vectors = np.zeros((len(column), dim), np.float32)
        for row, value in enumerate(as_list(column)):
            try:
                vectors[row] = _numbers_of(value, dim)
            except UnfitError as unfit:
                errors[row] = str(unfit)
    for row, error in errors.items():
        problems.fail(row, "vector", error)
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)


def _numbers_of(value: Any, dim: int) -> np.ndarray:
    """A vector from JSON, as text or as a list. Raises UnfitError."""
    if value is None:
        raise UnfitError("the vector is null")
    if isinstance(value, str):
        try:
            value, _ = read_json(value)
        except (ValueError, RecursionError) as error:
            raise UnfitError(f"expected a list of numbers such as [0.1, 0.2]: {error}") from None
    if not isinstance(value, list) or not all(_is_number(one) for one in value):
        raise UnfitError(f"expected a list of numbers. Received: {shown(value)}")
    if len(value) != dim:
        raise UnfitError(f"expected a vector of {dim} numbers, received {len(value)}")
    with np.errstate(over="ignore"):
        return np.array([_float(one) for one in value], np.float64).astype(np.float32)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | list | dict) and value is not None


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def edges_of(value: Any, row: int, problems: Problems) -> list[int] | None:
    """Left, top, right and bottom of a box [x, y, width, height] in pixels, each edge rounded to a whole one."""
    if value is None:
        return None
    if isinstance(value, dict):
        numbers = [value.get(name) for name in _BOX_NAMES]
    elif isinstance(value, str):
        numbers = cast(list[Any], [_read_number(part) for part in value.strip().strip("[]()").split(",")])
    else:
        numbers = value
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(map(_is_number, numbers)):
        problems.fail(row, "box", f"expected a box [x, y, width, height]. Received: {shown(value)}")
        return None
    x, y, width, height = map(_float, numbers)
    if not (all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0):
        problems.fail(row, "box", f"expected a box of some width and height. Received: {shown(value)}")
        return None
    # Far beyond any picture, and the sum of two numbers may be infinite.
    edges = [max(-_FAR, min(_FAR, edge)) for edge in (x, y, x + width, y + height)]
    return [math.floor(edge + 0.5) for edge in edges]


def _read_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
