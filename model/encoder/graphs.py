"""Looks into a SavedModel before it is loaded: it may compute, and nothing else.

Allowed are the operations listed here. TensorFlow has some 1,500 others, by which a graph can read and write files,
print into one, start Python functions, fill tables, open connections. What saves and restores values is in every
SavedModel; it is allowed where nothing calls it, and left out of what is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..errors import LookalikeError
from ..imports import importing

_COMPUTING = """
    Abs Acos Acosh Asin Asinh Atan Atanh Cast Ceil Cos Cosh Elu Erf Erfc Exp Expm1 Floor Inv IsFinite IsInf IsNan
    LeakyRelu Log Log1p LogicalNot Neg OnesLike Reciprocal Relu Relu6 Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh
    Softplus Softsign Sqrt Square Tan Tanh ZerosLike
    Add AddN AddV2 Atan2 ClipByValue Div DivNoNan Equal FloorDiv FloorMod Greater GreaterEqual Less LessEqual
    LogicalAnd LogicalOr Maximum Minimum Mod Mul MulNoNan NotEqual Pow RealDiv Select SelectV2 SquaredDifference Sub
    TruncateDiv TruncateMod Xdivy Xlogy
    All Any ArgMax ArgMin Cumprod Cumsum L2Loss LogSoftmax Max Mean Min Prod Softmax Sum TopKV2
    AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd Conv2D Conv2DBackpropInput DepthwiseConv2dNative
    Dilation2D Einsum FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LRN MatMul MaxPool MaxPoolV2
    BatchToSpace BatchToSpaceND BroadcastArgs BroadcastTo Concat ConcatV2 DepthToSpace ExpandDims Fill Gather
    GatherNd GatherV2 MirrorPad OneHot Pack Pad PadV2 Range Rank Reshape ResizeArea ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor Reverse ReverseV2 Roll Shape ShapeN Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth
    Split SplitV Squeeze StridedSlice Tile Transpose Unpack Where
    Const EnsureShape Identity IdentityN NoOp PartitionedCall Placeholder PlaceholderWithDefault PreventGradient
    ReadVariableOp StatefulPartitionedCall StopGradient
"""
_SAVING = """
    AssignVariableOp DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch
    StringJoin VarHandleOp VarIsInitializedOp
"""
_ALLOWED, _ONLY_SAVING = frozenset(_COMPUTING.split()), frozenset(_SAVING.split())
_KINDS = {"user_object", "function", "bare_concrete_function", "variable", "constant", "captured_tensor"}
"""Of the objects of a SavedModel; not `asset`, a file, and `resource`, a table or the like with its initialiser."""
_IDENTIFIERS = {
    *("_generic_user_object", "signature_map", "trackable_dict_wrapper", "trackable_list_wrapper"),
    "trackable_tuple_wrapper",
}
_CONSTANT = "tf.TrackableConstant"
"""The one class that TensorFlow may be asked for by name."""
_MOST_VALUES = 1 << 28
"""Of a constant, 1 GiB of float32: a shape of three bytes can ask for all memory."""


def checked_saved_model(content: bytes, path: object) -> bytes:
    """A SavedModel with all in it that is needed to use it, and nothing that saves or restores values.

    Args:
        content: `saved_model.pb`.
        path: where it was read, for messages.

    Raises:
        LookalikeError: if it is none, or has an operation or another part that is not among those allowed, called
            or not.
    """
    from google.protobuf.message import DecodeError

    with importing("TensorFlow"):
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
        from tensorflow.python.framework import op_def_registry

    model = SavedModel()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise LookalikeError(f"Expected a SavedModel in {path}. Received: an unreadable one") from None
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        raise LookalikeError(
            f"Expected a SavedModel with one graph of TensorFlow 2 in {path}. Received: another"
        )
    graph = model.meta_graphs[0]
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    called = _called(graph.object_graph_def, functions)
    nodes = [(node, "") for node in graph.graph_def.node]
    nodes += [(node, name) for name, function in functions.items() for node in function.node_def]
    refused = {
        node.op for node, function in nodes if not _allowed(node.op, functions, function in called)
    } | _refused_parts(graph)
    # An operation of TensorFlow's may not be hidden behind a function of its name.
    refused |= {name for name in functions if op_def_registry.get(name) is not None}
    if refused:
        raise LookalikeError(
            f"The network {path} is refused: it has parts that are not known to do nothing but compute: "
            f"{', '.join(sorted(refused))}. If it is yours, make it of layers that do without them"
        )
    for node, _ in nodes:
        _check_constant(node, path)
    for field in ("asset_file_def", "collection_def", "saver_def", "signature_def"):
        graph.ClearField(field)
    graph.meta_info_def.ClearField("stripped_op_list")
    # Objects may name constants; nothing else of the graph outside of functions is asked for.
    _keep(graph.graph_def.node, lambda node: node.op == "Const")
    _keep(graph.graph_def.library.function, lambda function: function.signature.name in called)
    graph.graph_def.library.ClearField("gradient")
    graph.graph_def.library.ClearField("registered_gradients")
    return bytes(model.SerializeToString())


def _allowed(operation: str, functions: dict[str, Any], called: bool) -> bool:
    return operation in _ALLOWED or operation in functions or (operation in _ONLY_SAVING and not called)


def _refused_parts(graph: Any) -> set[str]:
    refused = {f"asset {asset.filename}" for asset in graph.asset_file_def}
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _KINDS:
            refused.add(f"an object of kind {kind}")
        elif kind == "user_object" and node.user_object.identifier not in _IDENTIFIERS:
            refused.add(f"an object of kind {node.user_object.identifier}")
        name = "" if kind == "constant" and node.registered_name == _CONSTANT else node.registered_name
        if name or node.registered_saver or node.saveable_objects:
            refused.add(f"an object that restores itself ({name or node.registered_saver})")
    return refused


def _called(objects: Any, functions: dict[str, Any]) -> set[str]:
    """The names of all functions that a loaded SavedModel has: those of its objects, and what these call."""
    waiting = list(objects.concrete_functions)
    for node in objects.nodes:
        waiting += node.function.concrete_functions
        waiting.append(node.bare_concrete_function.concrete_function_name)
    called: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in called:
            called.add(name)
            waiting += _calls(functions[name])
    return called


def _calls(function: Any) -> Iterator[str]:
    for node in function.node_def:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (one.name for one in value.list.func)


def _check_constant(node: Any, path: object) -> None:
    for value in node.attr.values():
        for tensor in (value.tensor, *value.list.tensor):
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            if math.prod(sizes) > _MOST_VALUES or min(sizes, default=0) < 0 or tensor.variant_val:
                raise LookalikeError(
                    f"Expected constants of at most {_MOST_VALUES:,} numbers in the network {path}. "
                    f"Received: {node.name} of shape {sizes}"
                )


def _keep(repeated: Any, wanted: Any) -> None:
    kept = [item for item in repeated if wanted(item)]
    del repeated[:]
    repeated.extend(kept)
