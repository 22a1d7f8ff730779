"""A Keras network of plain convolutions as an ONNX file, and that quantised: tf2onnx knows no TensorFlow of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_onnx(network: Any, mean: np.ndarray, std: np.ndarray, path: Path) -> None:
    """Writes it with batch normalisation folded into the convolutions before it.

    Args:
        network: of EfficientNet-Lite's layers, NHWC.
        mean, std: what is subtracted from pixels, and what they are divided by: in the file, whose input is uint8
            (n, height, width, 3), called `image`; its output is `vectors`.
        path: the file.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(kind: str, sources: Sequence[str], target: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, list(sources), [target], name=target, **options))
        return target

    pixels = node("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    pixels = node("Sub", [pixels, constant("mean", mean)], "centred")
    pixels = node("Div", [pixels, constant("std", std)], "normalised")
    tensors = {network.layers[0].name: node("Transpose", [pixels], "planes", perm=[0, 3, 1, 2])}
    for layer in network.layers[1:]:
        name = layer.name
        before = layer.input if isinstance(layer.input, list) else [layer.input]
        sources = [tensors[tensor._keras_history.operation.name] for tensor in before]
        kind = type(layer).__name__
        if kind in ("Conv2D", "DepthwiseConv2D"):
            kernel, bias = _folded(layer, _following(network, layer))
            groups = kernel.shape[0] if kind == "DepthwiseConv2D" else 1
            sources += [constant(f"{name}_kernel", kernel), constant(f"{name}_bias", bias)]
            made = node(
                "Conv",
                sources,
                name,
                strides=list(layer.strides),
                auto_pad="SAME_UPPER",
                group=groups,
                kernel_shape=kernel.shape[2:],
            )
        elif kind == "BatchNormalization":
            made = sources[0]
        elif kind == "ReLU":
            limits = [constant(f"{name}_least", np.float32(0)), constant(f"{name}_most", np.float32(6))]
            made = node("Clip", [*sources, *limits], name)
        elif kind == "Add":
            made = node("Add", sources, name)
        elif kind == "GlobalAveragePooling2D":
            made = node("GlobalAveragePool", sources, name)
        else:
            raise ValueError(f"Expected a layer of EfficientNet-Lite. Received: {kind}")
        tensors[name] = made
    node("Flatten", [made], "vectors")
    _, height, width, _ = network.input_shape
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", height, width, 3])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", network.output_shape[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _following(network: Any, layer: Any) -> Any:
    """The batch normalisation that takes a convolution's output."""
    index = network.layers.index(layer)
    return next(after for after in network.layers[index:] if type(after).__name__ == "BatchNormalization")


def _folded(layer: Any, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (out, in, height, width) and bias of a convolution and the normalisation behind it."""
    kernel = np.asarray(layer.get_weights()[0])
    depthwise = type(layer).__name__ == "DepthwiseConv2D"
    kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return kernel * scale[:, None, None, None], beta - mean * scale


def quantise_onnx(path: Path, target: Path, pixels: np.ndarray) -> None:
    """Quantises its convolutions to 8 bits, per channel, by the ranges of sample pixels uint8 (n, height, width, 3)."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches: Iterator[np.ndarray] = iter(np.array_split(pixels, max(1, len(pixels) // 8)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    quantize_static(
        str(path),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Clip", "GlobalAveragePool"],
    )
