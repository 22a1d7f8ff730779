"""Tensors of an ONNX file, from bytes that are written here by hand."""

from __future__ import annotations

import numpy as np

from lookalike.model.text.onnx_weights import read_tensors


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def part(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def test_tensors_have_their_names_shapes_and_types():
    one = part(1, 2) + part(1, 3) + part(2, 1) + part(8, b"one") + part(9, np.float32(range(6)).tobytes())
    two = part(1, 300) + part(2, 3) + part(8, b"two") + part(9, bytes(range(150)) * 2)
    text = part(1, 1) + part(2, 8) + part(8, b"text") + part(6, b"no array of ours")
    fixed = varint(3 << 3 | 5) + b"abcd" + varint(4 << 3 | 1) + b"abcdefgh"
    graph = part(1, b"a node") + part(5, one) + part(5, text) + fixed + part(5, two)
    found = read_tensors(part(1, 9) + part(2, b"producer") + part(7, graph))
    assert list(found) == ["one", "two"]
    np.testing.assert_array_equal(found["one"], np.float32([[0, 1, 2], [3, 4, 5]]))
    np.testing.assert_array_equal(found["two"], np.tile(np.arange(150, dtype=np.uint8), 2).view(np.int8))
