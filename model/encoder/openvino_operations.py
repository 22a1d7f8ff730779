"""Which of OpenVINO's operations a network may use, and how: the names and attributes of its format, version 11.

Source: the operation specifications of OpenVINO 2026.4 (docs.openvino.ai, "Operation Sets").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

TYPES = {
    "f32": ("FP32", "<f4"),
    "i64": ("I64", "<i8"),
    "i32": ("I32", "<i4"),
    "i8": ("I8", "i1"),
    "u8": ("U8", "u1"),
}
"""Element type -> what a port calls it, and how NumPy reads it."""


Data = Mapping[str, "str | tuple[str, ...]"]
"""Attribute -> the values that it may have, or of what kind they are."""


@dataclass(frozen=True)
class Operation:
    """One of OpenVINO's operations, as a network may use it.

    Attributes:
        inputs: least and most of them.
        data: attribute -> the values that it may have, or `size`, `padding`, `axis`, `levels`, `shape`, `real`,
            `number`.
        optional: attributes that may be left out.
        constants: inputs whose values are in the file, as they decide shapes.
        outputs: how many.
    """

    inputs: tuple[int, int]
    data: Data = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    constants: tuple[int, ...] = ()
    outputs: int = 1


_BOOLEAN = ("true", "false")
_TYPE = tuple(TYPES)
_AUTO_PAD = ("explicit", "valid", "same_upper", "same_lower", "notset")
_BROADCAST: Data = {"auto_broadcast": ("numpy", "none")}
_PADS: Data = {"pads_begin": "padding", "pads_end": "padding"}
_WINDOW: Data = {"strides": "size", "dilations": "size", **_PADS, "auto_pad": _AUTO_PAD}
_ROUNDING: Data = {"rounding_type": ("floor", "ceil")}
_POOL: Data = {"kernel": "size", "strides": "size", **_PADS, "auto_pad": _AUTO_PAD, **_ROUNDING}
_REDUCTION = Operation((2, 2), {"keep_dims": _BOOLEAN}, constants=(1,))
_ELEMENTWISE = Operation((2, 2), _BROADCAST)
_ONE = Operation((1, 1))
_SHAPED_BY = Operation((2, 2), constants=(1,))


def _operations() -> Iterator[tuple[str, str, Operation]]:
    """Type, set of operations, and what is allowed."""
    for name in ("Add", "Maximum", "Minimum", "Multiply", "Power", "SquaredDifference", "Subtract"):
        yield name, "opset1", _ELEMENTWISE
    yield "Divide", "opset1", Operation((2, 2), {**_BROADCAST, "m_pythondiv": _BOOLEAN}, ("m_pythondiv",))
    for name in ("Abs", "Erf", "Exp", "Negative", "ReLU", "Sigmoid", "Sqrt", "Tanh"):
        yield name, "opset1", _ONE
    for name, version in (("HSigmoid", "opset5"), ("HSwish", "opset4"), ("SoftPlus", "opset4")):
        yield name, version, _ONE
    yield "Swish", "opset4", Operation((1, 2), constants=(1,))
    yield "Clamp", "opset1", Operation((1, 1), {"min": "real", "max": "real"})
    yield "Elu", "opset1", Operation((1, 1), {"alpha": "real"})
    yield "Gelu", "opset7", Operation((1, 1), {"approximation_mode": ("ERF", "TANH")})
    yield "PReLU", "opset1", Operation((2, 2), constants=(1,))
    for name in ("ReduceMax", "ReduceMean", "ReduceSum"):
        yield name, "opset1", _REDUCTION
    for version in ("opset1", "opset8"):
        yield "SoftMax", version, Operation((1, 1), {"axis": "axis"})
    yield "Convolution", "opset1", Operation((2, 2), _WINDOW)
    yield "GroupConvolution", "opset1", Operation((2, 2), _WINDOW)
    yield "MatMul", "opset1", Operation((2, 2), {"transpose_a": _BOOLEAN, "transpose_b": _BOOLEAN})
    yield "AvgPool", "opset1", Operation((1, 1), {**_POOL, "exclude-pad": _BOOLEAN})
    yield "MaxPool", "opset1", Operation((1, 1), _POOL)
    index: Data = {"dilations": "size", "index_element_type": ("i32", "i64"), "axis": ("0",)}
    yield "MaxPool", "opset8", Operation((1, 1), {**_POOL, **index}, outputs=2)
    yield "Concat", "opset1", Operation((1, 64), {"axis": "axis"})
    yield (
        "Pad",
        "opset1",
        Operation((3, 4), {"pad_mode": ("constant", "reflect", "symmetric")}, constants=(1, 2, 3)),
    )
    yield "Reshape", "opset1", Operation((2, 2), {"special_zero": _BOOLEAN}, constants=(1,))
    for name in ("Squeeze", "Transpose", "Unsqueeze"):
        yield name, "opset1", _SHAPED_BY
    yield "Convert", "opset1", Operation((1, 1), {"destination_type": _TYPE})
    yield (
        "FakeQuantize",
        "opset1",
        Operation((5, 5), {"levels": "levels", **_BROADCAST}, constants=(1, 2, 3, 4)),
    )
    tensor: Data = {"shape": "shape", "element_type": _TYPE}
    yield "Const", "opset1", Operation((0, 0), {**tensor, "offset": "number", "size": "number"})
    yield "Parameter", "opset1", Operation((0, 0), tensor)
    yield "Result", "opset1", Operation((1, 1), outputs=0)


OPERATIONS = {(name, version): operation for name, version, operation in _operations()}
"""(type, set of operations) -> how it may be used."""
