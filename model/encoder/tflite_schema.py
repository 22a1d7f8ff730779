"""The tables of a TFLite model, and which of TFLite's operations a network may use, and how.

Source: `schema.fbs` of TensorFlow Lite 2.17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .flatbuffer import Schema


def _schema(*fields: str, **kinds: Any) -> Schema:
    """`name:kind` for each field in order; `name:kind=default`; a `-` for None, and a name alone for one in `kinds`."""
    types: dict[str, Any] = {}
    defaults = {}
    for text in fields:
        name, _, kind = text.partition(":")
        kind, _, default = kind.partition("=")
        types[name] = kinds.get(name) if not kind or kind == "-" else kind
        if default:
            defaults[name] = int(default)
    return Schema(types, defaults)


_QUANTIZATION = _schema(
    "min:[f]", "max:[f]", "scale:[f]", "zero_point:[q]", "details_type:B", "details:any", "dimension:i"
)
TENSOR = _schema(
    *("shape:[i]", "type:b", "buffer:I", "name:str", "quantization", "is_variable:B", "sparsity:any"),
    *("shape_signature:[i]", "has_rank:B", "variant_tensors:any"),
    quantization=_QUANTIZATION,
)
OPERATOR = _schema(
    *("opcode_index:I", "inputs:[i]", "outputs:[i]", "options_type:B", "options:any", "custom_options:[B]"),
    *("custom_options_format:b", "mutating_variable_inputs:[B]", "intermediates:[i]", "large_offset:Q"),
    *("large_size:Q", "options_2_type:B", "options_2:any"),
)
_SUBGRAPH = _schema(
    *("tensors", "inputs:[i]", "outputs:[i]", "operators", "name:str"),
    tensors=(TENSOR,),
    operators=(OPERATOR,),
)
_CODE = _schema("deprecated_code:b", "custom_code:str", "version:i=1", "code:i")
_BUFFER = _schema("data:[B]", "offset:-", "size:-")
_METADATA = _schema("name:str", "buffer:I")
_TENSOR_NAME = _schema("name:str", "tensor:I")
_SIGNATURE = _schema(
    *("inputs", "outputs", "key:str", "deprecated_tag:-", "subgraph:I"),
    inputs=(_TENSOR_NAME,),
    outputs=(_TENSOR_NAME,),
)
MODEL = _schema(
    *("version:I", "codes", "subgraphs", "description:str", "buffers", "metadata_buffer:[i]", "metadata"),
    "signatures",
    codes=(_CODE,),
    subgraphs=(_SUBGRAPH,),
    buffers=(_BUFFER,),
    metadata=(_METADATA,),
    signatures=(_SIGNATURE,),
)


@dataclass(frozen=True)
class Operation:
    """One of TFLite's operations, as a network may use it.

    Attributes:
        inputs: least and most of them.
        options: name of the table, "" for none; `OPTIONS` has its fields.
        optional: inputs that may be left out.
        constant: inputs whose values are in the file: what they say decides how much memory is taken, or is looked at
            without a check.
    """

    inputs: tuple[int, int]
    options: str = ""
    optional: tuple[int, ...] = ()
    constant: tuple[int, ...] = ()


_ANY = (1, 1024)
_ACTIVATION = "activation:b"
OPTIONS = {
    "AddOptions": _schema(_ACTIVATION, "pot_scale_int16:B"),
    "ArgMaxOptions": _schema("output_type:b"),
    "BatchMatMulOptions": _schema("adj_x:B", "adj_y:B", "asymmetric:B"),
    "CastOptions": _schema("in_type:b", "out_type:b"),
    "ConcatenationOptions": _schema("axis:i", _ACTIVATION),
    "Conv2DOptions": _schema(
        "padding:b",
        "stride_w:i",
        "stride_h:i",
        _ACTIVATION,
        "dilation_w:i=1",
        "dilation_h:i=1",
        "bias_type:b",
    ),
    "DepthToSpaceOptions": _schema("block:i"),
    "DepthwiseConv2DOptions": _schema(
        *("padding:b", "stride_w:i", "stride_h:i", "multiplier:i", _ACTIVATION, "dilation_w:i=1"),
        "dilation_h:i=1",
    ),
    "DivOptions": _schema(_ACTIVATION),
    "FullyConnectedOptions": _schema(_ACTIVATION, "format:b", "keep_dims:B", "asymmetric:B", "bias_type:b"),
    "GatherOptions": _schema("axis:i", "batch_dims:i"),
    "GeluOptions": _schema("approximate:B"),
    "L2NormOptions": _schema(_ACTIVATION),
    "LeakyReluOptions": _schema("alpha:f"),
    "LocalResponseNormalizationOptions": _schema("radius:i", "bias:f", "alpha:f", "beta:f"),
    "MirrorPadOptions": _schema("mode:b"),
    "MulOptions": _schema(_ACTIVATION),
    "PackOptions": _schema("count:i", "axis:i"),
    "Pool2DOptions": _schema(
        "padding:b", "stride_w:i", "stride_h:i", "filter_w:i", "filter_h:i", _ACTIVATION
    ),
    "ReducerOptions": _schema("keep_dims:B"),
    "ReshapeOptions": _schema("new_shape:[i]"),
    "ResizeBilinearOptions": _schema("height:-", "width:-", "align_corners:B", "half_pixel_centers:B"),
    "ResizeNearestNeighborOptions": _schema("align_corners:B", "half_pixel_centers:B"),
    "ShapeOptions": _schema("out_type:b"),
    "SoftmaxOptions": _schema("beta:f"),
    "SpaceToDepthOptions": _schema("block:i"),
    "SplitOptions": _schema("count:i"),
    "SplitVOptions": _schema("count:i"),
    "SqueezeOptions": _schema("dimensions:[i]"),
    "StridedSliceOptions": _schema("begin:i", "end:i", "ellipsis:i", "new_axis:i", "shrink:i", "offset:B"),
    "SubOptions": _schema(_ACTIVATION, "pot_scale_int16:B"),
}
"""Tables with fields. Those of other operations are empty, and may be of any name."""

_OF_ONE = """
    ABS CEIL COS DEQUANTIZE ELU EXP FLOOR HARD_SWISH LOG LOGISTIC LOG_SOFTMAX NEG QUANTIZE RELU RELU6 RELU_N1_TO_1 ROUND
    RSQRT SIN SQRT SQUARE TANH
"""
_OF_TWO = """
    EQUAL FLOOR_DIV GREATER GREATER_EQUAL LESS LESS_EQUAL MAXIMUM MINIMUM NOT_EQUAL POW PRELU SQUARED_DIFFERENCE
"""
OPERATIONS = {
    **dict.fromkeys(_OF_ONE.split(), Operation((1, 1))),
    **dict.fromkeys(_OF_TWO.split(), Operation((2, 2))),
    "ADD": Operation((2, 2), "AddOptions"),
    "ARG_MAX": Operation((2, 2), "ArgMaxOptions", constant=(1,)),
    "AVERAGE_POOL_2D": Operation((1, 1), "Pool2DOptions"),
    "BATCH_MATMUL": Operation((2, 2), "BatchMatMulOptions"),
    "CAST": Operation((1, 1), "CastOptions"),
    "CONCATENATION": Operation(_ANY, "ConcatenationOptions"),
    "CONV_2D": Operation((2, 3), "Conv2DOptions", (2,), (1, 2)),
    "DEPTH_TO_SPACE": Operation((1, 1), "DepthToSpaceOptions"),
    "DEPTHWISE_CONV_2D": Operation((3, 3), "DepthwiseConv2DOptions", constant=(1, 2)),
    "DIV": Operation((2, 2), "DivOptions"),
    "EXPAND_DIMS": Operation((2, 2), constant=(1,)),
    "FULLY_CONNECTED": Operation((2, 3), "FullyConnectedOptions", (2,), (1, 2)),
    "GATHER": Operation((2, 2), "GatherOptions", constant=(1,)),
    "GELU": Operation((1, 1), "GeluOptions"),
    "L2_NORMALIZATION": Operation((1, 1), "L2NormOptions"),
    "LEAKY_RELU": Operation((1, 1), "LeakyReluOptions"),
    "LOCAL_RESPONSE_NORMALIZATION": Operation((1, 1), "LocalResponseNormalizationOptions"),
    "MAX_POOL_2D": Operation((1, 1), "Pool2DOptions"),
    "MIRROR_PAD": Operation((2, 2), "MirrorPadOptions", constant=(1,)),
    "MUL": Operation((2, 2), "MulOptions"),
    "PACK": Operation(_ANY, "PackOptions"),
    "PAD": Operation((2, 2), constant=(1,)),
    "PADV2": Operation((3, 3), constant=(1, 2)),
    **dict.fromkeys(
        ("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM"),
        Operation((2, 2), "ReducerOptions", constant=(1,)),
    ),
    "RESHAPE": Operation((1, 2), "ReshapeOptions"),
    "RESIZE_BILINEAR": Operation((2, 2), "ResizeBilinearOptions", constant=(1,)),
    "RESIZE_NEAREST_NEIGHBOR": Operation((2, 2), "ResizeNearestNeighborOptions", constant=(1,)),
    "SELECT_V2": Operation((3, 3)),
    "SHAPE": Operation((1, 1), "ShapeOptions"),
    "SLICE": Operation((3, 3), constant=(1, 2)),
    "SOFTMAX": Operation((1, 1), "SoftmaxOptions"),
    "SPACE_TO_DEPTH": Operation((1, 1), "SpaceToDepthOptions"),
    "SPLIT": Operation((2, 2), "SplitOptions", constant=(0,)),
    "SPLIT_V": Operation((3, 3), "SplitVOptions", constant=(1, 2)),
    "SQUEEZE": Operation((1, 1), "SqueezeOptions"),
    "STRIDED_SLICE": Operation((4, 4), "StridedSliceOptions", constant=(1, 2, 3)),
    "SUB": Operation((2, 2), "SubOptions"),
    "TRANSPOSE": Operation((2, 2), constant=(1,)),
}
EMPTY = _schema()
