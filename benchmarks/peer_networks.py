"""The network of a bundle in other runtimes: each a maker of functions from pixels to features, one for each thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx_network import quantise_onnx, write_onnx

from lookalike.model.images.preprocess import Preprocess

Features = Callable[[np.ndarray], np.ndarray]
"""uint8 (BATCH, height, width, 3) -> float32 (BATCH, features), on the thread that calls."""
Maker = Callable[[], Features]
BATCH = 8
"""Images a call, the fastest for every runtime with one thread each."""


def tflite_int8(bundle: Path) -> Maker:
    """The bundle's own int8 network in the TFLite of TensorFlow."""
    import tensorflow as tf

    def make() -> Features:
        interpreter = tf.lite.Interpreter(str(bundle / "int8.tflite"), num_threads=1)
        source = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(source["index"], [BATCH, *source["shape"][1:]])
        interpreter.allocate_tensors()
        target = interpreter.get_output_details()[0]["index"]

        def run(pixels: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(source["index"], pixels)
            interpreter.invoke()
            return interpreter.get_tensor(target)

        return run

    return make


def onnx_int8(network: Any, preprocess: Preprocess, sample: np.ndarray, work: Path) -> Maker:
    """ONNX Runtime, quantised by its own tools."""
    import onnxruntime as ort

    path, quantised = work / "network.onnx", work / "int8.onnx"
    if not quantised.exists():
        write_onnx(network, preprocess.mean, preprocess.std, path)
        quantise_onnx(path, quantised, sample)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1

    def make() -> Features:
        session = ort.InferenceSession(str(quantised), options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(None, {"image": pixels})[0]

    return make


def openvino(
    bundle: Path, preprocess: Preprocess, threads: int, precision: str, sample: np.ndarray | None = None
) -> Maker:
    """OpenVINO from the bundle's float SavedModel, a stream of one thread for each thread.

    Args:
        bundle: folder of the encoder.
        preprocess: its preprocessing.
        threads: how many.
        precision: `f32` or `bf16`; what is not quantised is computed in it.
        sample: pixels by which NNCF quantises it; None to leave it as it is.
    """
    import openvino as ov

    model = ov.convert_model(str(bundle / "saved_model"), input=[-1, preprocess.height, preprocess.width, 3])
    if sample is not None:
        import nncf

        data = nncf.Dataset(list(preprocess.normalize(sample)[:, None]))
        model = nncf.quantize(model, data, subset_size=len(sample))
    step = ov.preprocess.PrePostProcessor(model)
    step.input().model().set_layout(ov.Layout("NHWC"))
    step.input().tensor().set_element_type(ov.Type.u8)
    step.input().preprocess().convert_element_type(ov.Type.f32)
    step.input().preprocess().mean(preprocess.mean.tolist()).scale(preprocess.std.tolist())
    model = step.build()
    model.reshape([BATCH, preprocess.height, preprocess.width, 3])
    compiled = ov.Core().compile_model(
        model,
        "CPU",
        {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "ENABLE_CPU_PINNING": False,
        },
    )

    def make() -> Features:
        request = compiled.create_infer_request()
        return lambda pixels: request.infer({0: pixels}, share_inputs=True)[0].copy()

    return make
