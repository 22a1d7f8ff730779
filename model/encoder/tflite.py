"""Looks into a TFLite model before TFLite does, which follows every number in it and ends the process with some.

Allowed is what networks of pictures are made of: one graph of TFLite's own operations that compute, with tensors whose
sizes are those of their data. There are no operations of others, no variables, tables, loops or calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import LookalikeError
from ..imports import tflite_schema
from .flatbuffer import FlatBuffer, FlatBufferError
from .tflite_schema import EMPTY, MODEL, OPERATIONS, OPTIONS

_IDENTIFIER = b"TFL3"
_MOST_BYTES = 1 << 31
"""Of the data of all tensors for one picture."""
_MOST_OPERATIONS = 20_000
_GREATEST_SCALE = 1e24
"""A quotient of scales becomes a shift by so many bits, and some kernels look into a table by it."""
_LONGEST = 1 << 12
"""Of strides, dilations, block sizes, paddings and new heights and widths."""


_LISTS = ("custom_options", "intermediates", "mutating_variable_inputs")
_OF_OTHERS = (*_LISTS, "large_offset", "large_size", "options_2_type", "options_2")
"""Fields of operations that are not among these."""
_SEVERAL_OUTPUTS = ("SPLIT", "SPLIT_V")
_SIZES = {
    *("stride_w", "stride_h", "dilation_w", "dilation_h", "filter_w", "filter_h", "block", "count"),
    "multiplier",
}
"""Options that TFLite divides by, or counts with."""
_CHOICES = {"padding": 2, "activation": 6, "mode": 2, "format": 1}
"""Options that are numbers of a choice, and how many choices there are."""
_TYPES = {
    "FLOAT32": "<f4",
    "INT32": "<i4",
    "UINT8": "u1",
    "INT64": "<i8",
    "BOOL": "?",
    "INT16": "<i2",
    "INT8": "i1",
}
_MOST_DIMENSIONS = 6


def check_tflite(content: bytes, path: object) -> None:
    """Looks at all of a TFLite model.

    Args:
        content: the file.
        path: where it was read, for messages.

    Raises:
        LookalikeError: if it has an operation that is not among those allowed, naming them, or is not whole.
    """
    try:
        _check(content, tflite_schema())
    except FlatBufferError as error:
        raise LookalikeError(f"Expected a network for TFLite in {path}. Received one with {error}") from None
    except _ForeignError as error:
        raise LookalikeError(
            f"The network {path} is refused: it has operations that are not known to do nothing but compute: {error}. "
            "If it is yours, make it of layers that do without them"
        ) from None


class _ForeignError(ValueError):
    """Operations that are not allowed, by name."""


def _check(content: bytes, names: Any) -> None:
    if content[4:8] != _IDENTIFIER:
        raise FlatBufferError("another mark than TFL3")
    buffer = FlatBuffer(content)
    model = buffer.root(MODEL)
    codes = _operation_codes(model, names)
    if len(model["subgraphs"] or ()) != 1:
        raise FlatBufferError("another number of graphs than one")
    (graph,) = model["subgraphs"]
    buffers = [b"" if one["data"] is None else one["data"] for one in model["buffers"] or ()]
    types = {getattr(names.TensorType, name): np.dtype(kind) for name, kind in _TYPES.items()}
    tensors = [_checked_tensor(tensor, buffers, types) for tensor in graph["tensors"] or ()]
    if sum(tensor.bytes for tensor in tensors) > _MOST_BYTES:
        raise FlatBufferError(f"tensors of more than {_MOST_BYTES:,} bytes")
    for metadata in model["metadata"] or ():
        _within(metadata["buffer"], buffers, "a buffer")
    for signature in model["signatures"] or ():
        if signature["subgraph"]:
            raise FlatBufferError("a signature of no graph")
        for named in (*(signature["inputs"] or ()), *(signature["outputs"] or ())):
            _within(named["tensor"], tensors, "a tensor")
    _check_order(graph, codes, tensors)
    for operator in graph["operators"] or ():
        _check_options(buffer, operator, codes[operator["opcode_index"]], names, tensors)


def _operation_codes(model: dict[str, Any], names: Any) -> list[str]:
    """The name of each operation that the model uses."""
    known = {number: name for name, number in vars(names.BuiltinOperator).items() if not name.startswith("_")}
    codes = []
    for code in model["codes"] or ():
        # Models of before 2020 have the first alone; TFLite takes the greater.
        name = known.get(max(code["code"], code["deprecated_code"]), "an unknown one")
        codes.append(code["custom_code"].decode("utf-8", "replace") if code["custom_code"] else name)
    if foreign := sorted({code for code in codes if code not in OPERATIONS}):
        raise _ForeignError(", ".join(foreign))
    return codes


@dataclass(frozen=True)
class _Tensor:
    """A tensor's shape, its values if they are in the file, and whether it has a scale."""

    shape: tuple[int, ...]
    dtype: np.dtype
    values: np.ndarray | None
    scaled: bool

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _checked_tensor(tensor: dict[str, Any], buffers: Sequence[Any], types: dict[int, np.dtype]) -> _Tensor:
    dtype = types.get(tensor["type"])
    if dtype is None or tensor["is_variable"] or tensor["sparsity"] or tensor["variant_tensors"]:
        raise FlatBufferError(f"a tensor of type {tensor['type']}, a variable or a sparse one")
    shape = tuple(map(int, _list(tensor["shape"])))
    signature = shape if tensor["shape_signature"] is None else tuple(map(int, tensor["shape_signature"]))
    if (
        len(shape) > _MOST_DIMENSIONS
        or any(size < 1 for size in shape)
        or len(signature) not in (0, len(shape))
        or any(size not in (-1, is_) for size, is_ in zip(signature, shape, strict=False))
    ):
        raise FlatBufferError(f"a tensor of shape {list(shape)}, {list(signature)}")
    _within(tensor["buffer"], buffers, "a buffer")
    data = buffers[tensor["buffer"]]
    if len(data) not in (0, math.prod(shape) * dtype.itemsize):
        raise FlatBufferError(f"{len(data)} bytes for a tensor of shape {list(shape)} and type {dtype}")
    values = np.frombuffer(data, dtype).reshape(shape) if len(data) else None
    scaled = _has_scale(tensor["quantization"], shape, dtype)
    if not scaled and dtype.name in ("int8", "uint8", "int16"):
        raise FlatBufferError(f"a tensor of type {dtype} without a scale")
    return _Tensor(shape, dtype, values, scaled)


def _has_scale(quantization: dict[str, Any] | None, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    if quantization is None or quantization["scale"] is None or not len(quantization["scale"]):
        return False
    scale, zero = quantization["scale"], quantization["zero_point"]
    axis = quantization["dimension"]
    of_axis = shape[axis] if 0 <= axis < len(shape) else 1
    integer = np.issubdtype(dtype, np.integer)
    if (
        len(scale) not in (1, of_axis)
        or quantization["details_type"]
        or quantization["details"]
        or zero is None
        or len(zero) != len(scale)
        or not ((scale > 1 / _GREATEST_SCALE) & (scale < _GREATEST_SCALE)).all()
        or (integer and not _fits(zero, dtype))
    ):
        raise FlatBufferError("a quantisation that does not fit its tensor")
    return True


def _fits(values: np.ndarray, dtype: np.dtype) -> bool:
    limits = np.iinfo(dtype)
    return bool(((values >= limits.min) & (values <= limits.max)).all())


def _within(number: int, things: Sequence[Any], what: str) -> None:
    if not 0 <= number < len(things):
        raise FlatBufferError(f"{what} that is not there")


def _check_order(graph: dict[str, Any], codes: Sequence[str], tensors: Sequence[_Tensor]) -> None:
    """Every tensor is known before it is used, and made once."""
    inputs, outputs, operators = (_list(graph[name]) for name in ("inputs", "outputs", "operators"))
    if len(inputs) != 1 or len(outputs) != 1 or len(operators) > _MOST_OPERATIONS:
        raise FlatBufferError(f"{len(inputs)} inputs, {len(outputs)} outputs and {len(operators)} operations")
    for number in (*inputs, *outputs):
        _within(number, tensors, "a tensor")
    known = {number for number, tensor in enumerate(tensors) if tensor.values is not None}
    if inputs[0] in known:
        raise FlatBufferError("an input that is a constant")
    known.add(inputs[0])
    for operator in operators:
        _within(operator["opcode_index"], codes, "an operation")
        name = codes[operator["opcode_index"]]
        operation = OPERATIONS[name]
        given, made = _list(operator["inputs"]), _list(operator["outputs"])
        least, most = operation.inputs
        if not least <= len(given) <= most or (len(made) != 1 and name not in _SEVERAL_OUTPUTS) or not made:
            raise FlatBufferError(f"{len(given)} inputs and {len(made)} outputs of {name}")
        if any(_list(operator[field]) if field in _LISTS else operator[field] for field in _OF_OTHERS):
            raise FlatBufferError(f"a part of {name} that it does not have")
        for place, number in enumerate(given):
            if number == -1 and place in operation.optional:
                continue
            _within(number, tensors, "a tensor")
            if number not in known or (place in operation.constant and tensors[number].values is None):
                raise FlatBufferError(f"an input of {name} that is not known")
        for number in made:
            _within(number, tensors, "a tensor")
            if number in known:
                raise FlatBufferError(f"an output of {name} that is known before")
            known.add(number)
    if outputs[0] not in known:
        raise FlatBufferError("an output that nothing makes")


def _list(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _check_options(
    buffer: FlatBuffer, operator: dict[str, Any], name: str, names: Any, tensors: Sequence[_Tensor]
) -> None:
    operation = OPERATIONS[name]
    given = [tensors[number] if number >= 0 else None for number in _list(operator["inputs"])]
    options: dict[str, Any] = {}
    if operation.options:
        if operator["options_type"] != getattr(names.BuiltinOptions, operation.options):
            if operator["options_type"] or name not in _WITHOUT_OPTIONS:
                raise FlatBufferError(f"options of {name} that are not its own")
        elif operator["options"] is None:
            raise FlatBufferError(f"no options of {name}")
        else:
            options = buffer.table(operator["options"], OPTIONS[operation.options])
    elif operator["options"] is not None:
        buffer.table(operator["options"], EMPTY)
    for option, value in options.items():
        if option in _SIZES and not 1 <= value <= _LONGEST:
            raise FlatBufferError(f"{option} {value} of {name}")
        if option in _CHOICES and not 0 <= value < _CHOICES[option]:
            raise FlatBufferError(f"{option} {value} of {name}")
    for problem in _problems(name, options, given, len(_list(operator["outputs"]))):
        raise FlatBufferError(f"{problem} of {name}")


_WITHOUT_OPTIONS = ("RESHAPE", "GELU", "LEAKY_RELU")


def _problems(
    name: str, options: dict[str, Any], given: Sequence[_Tensor | None], outputs: int
) -> Iterator[str]:
    """What TFLite does not look at itself."""
    first = given[0]
    rank = len(first.shape) if first else 0
    bias = (
        given[2] if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and len(given) > 2 else None
    )
    if bias and first and first.dtype != np.float32 and not bias.scaled:
        yield "a bias without a scale"
    if name in ("PAD", "PADV2", "MIRROR_PAD") and given[1] is not None:
        values = given[1].values
        if values is None or values.shape != (rank, 2) or (values < 0).any() or (values > _LONGEST).any():
            yield "paddings"
    if name.startswith("RESIZE") and given[1] is not None:
        values = given[1].values
        if values is None or values.shape != (2,) or (values < 1).any() or (values > _LONGEST).any():
            yield "a size"
    if name == "STRIDED_SLICE" and given[3] is not None and given[3].values is not None:
        strides = np.abs(given[3].values.astype(np.int64))
        if not ((strides >= 1) & (strides <= _LONGEST)).all():
            yield "strides"
    if options.get("offset"):
        yield "an end that is counted from the beginning"
    if name in _SEVERAL_OUTPUTS and outputs != options["count"]:
        yield "outputs"
