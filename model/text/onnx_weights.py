"""The tensors of an ONNX file, by name, without ONNX: its protocol buffers hold little else.

Source of the numbers: onnx.proto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (ModelProto.graph is 7,
GraphProto.initializer 5, and of TensorProto dims are 1, data_type 2, name 8, raw_data 9).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9
_TYPES = {1: "<f4", 3: "<i1", 7: "<i8"}
"""TensorProto.DataType -> NumPy's."""


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """The initializers that are float32, int8 or int64, of a file that is known, by its digest, to be whole."""
    (graph,) = (value for number, value in _fields(memoryview(data)) if number == _GRAPH)
    tensors = {}
    for number, value in _fields(graph):
        if number != _INITIALIZER:
            continue
        shape, held = [], {}
        for part, one in _fields(value):
            if part == _DIMS:
                shape.append(one)
            else:
                held[part] = one
        if held[_TYPE] in _TYPES and _RAW in held:
            array = np.frombuffer(held[_RAW], _TYPES[held[_TYPE]])
            tensors[bytes(held[_NAME]).decode()] = array.reshape(shape)
    return tensors


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message: an int, or the bytes."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield number, data[place : place + size]
        place += size
