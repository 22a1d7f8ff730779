"""The runtime of a network for OpenVINO, and which of the processor's instructions it may compute with.

Measured with EfficientNet-Lite0 (benchmarks/quality_speed.py, docs/encoders.md): weights of seven bits and everything
else in float32 give the same bits with AVX2, AVX-512 and their VNNI, for no product then leaves 16 bits. What AMX gives
differs from them (mean cosine 0.9998), so that `avx2` and `amx` have fingerprints of their own.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import imports
from ..errors import LookalikeError
from .openvino_ir import MOST_BYTES, checked_ir

AVX2, AMX = "avx2", "amx"
INSTRUCTIONS = (AVX2, AMX)
"""`avx2` is AVX2 and all that is faster with the same bits; `amx` asks for AMX."""
_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""Read by oneDNN once, when a process first asks for instructions."""
_ONE_THREAD = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
    # Otherwise bfloat16 where the processor has it, and other bits than where it has not.
    "INFERENCE_PRECISION_HINT": "f32",
}


class OpenVinoNetwork:
    """An int8 network for OpenVINO; each thread has its own copy, compiled for one thread.

    One copy with a stream for each thread waited for ever, and with one stream lets one thread in at a time.

    Args:
        xml, weights: the network.
        path: where it was read, for messages.
        batch: pictures a call.
        instructions: one of `INSTRUCTIONS`.

    Attributes:
        input_shape, output_shape: of arrays in and out, the batch first.

    Raises:
        LookalikeError: if it is no network that can be trusted to compute, OpenVINO is not installed or cannot use it,
            or it does not compute with these instructions here.
    """

    def __init__(self, xml: bytes, weights: bytes, path: Path, batch: int, instructions: str) -> None:
        self._xml, self._weights = checked_ir(xml, weights, path), weights
        self._path, self._batch, self._instructions = path, batch, instructions
        check_processor(instructions, path)
        self._local = threading.local()
        # Only where oneDNN may start: the threads of 64 cores, one behind the other, would wait for 20 seconds.
        with imports.one_at_a_time, limited(instructions):
            compiled = self._compiled()
        self._check_kernels(compiled)
        self._local.request = compiled.create_infer_request()
        self.input_shape, self.output_shape = tuple(compiled.input(0).shape), tuple(compiled.output(0).shape)
        kinds = (
            compiled.input(0).get_element_type().to_string(),
            compiled.output(0).get_element_type().to_string(),
        )
        if self.input_shape[0] != batch or self.output_shape[0] != batch or kinds != ("u8", "f32"):
            raise LookalikeError(
                f"Expected a network from {batch} pictures of uint8 to as many rows of float32 in {path}. "
                f"Received: {kinds[0]} {self.input_shape} to {kinds[1]} {self.output_shape}"
            )

    def run(self, pixels: np.ndarray, preprocess: Any) -> np.ndarray:
        """Features of at most `batch` pictures (n, height, width, 3), uint8; normalize is part of the network."""
        batch = np.zeros(self.input_shape, np.uint8)
        batch[: len(pixels)] = pixels
        request = self._request()
        request.infer({0: batch}, share_inputs=True)
        return np.array(request.get_output_tensor(0).data[: len(pixels)])

    def _request(self) -> Any:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled().create_infer_request()
        return self._local.request

    def _compiled(self) -> Any:
        try:
            model = _core().read_model(self._xml, self._weights)
            shapes = [output.get_partial_shape() for layer in model.get_ops() for output in layer.outputs()]
            most = MOST_BYTES // 4
            if any(shape.is_dynamic for shape in shapes) or sum(map(_numbers, shapes)) > most:
                raise ValueError(f"expected layers of at most {most:,} numbers in all")
            return _core().compile_model(model, "CPU", _ONE_THREAD)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise LookalikeError(
                f"OpenVINO cannot use the network {self._path}: {reason[-1].strip()[:300]}"
            ) from None

    def _check_kernels(self, compiled: Any) -> None:
        """Raises LookalikeError unless the network computes with what it was made for, whatever the reason."""
        kernels = " ".join(
            str(info["primitiveType"].astype(str))
            for info in (layer.get_rt_info() for layer in compiled.get_runtime_model().get_ops())
            if "primitiveType" in info
        )
        used = AMX if "amx" in kernels else "sse" if "sse" in kernels else AVX2
        if used != self._instructions:
            raise LookalikeError(
                f"Expected OpenVINO to compute {self._path} with {self._instructions}. Received: {used}, since this "
                f"process has started it so, or may use no other; leave {_LIMIT} unset, and open encoders of other "
                "instructions in processes of their own"
            )


def check_processor(instructions: str, path: object) -> None:
    """Raises LookalikeError where a network cannot compute with its instructions, or would not give the same bits."""
    if (
        platform.machine() != "x86_64"
        or not _flags() >= {AVX2: {"avx2", "fma"}, AMX: {"amx_int8"}}[instructions]
    ):
        advice = (
            "for machines with and without AMX, make the encoder with --variant openvino --instructions avx2"
            if instructions == AMX
            else "make the encoder with --variant int8"
        )
        raise LookalikeError(
            f"Expected a processor with {instructions} for {path}, whose vectors cannot be compared with those of "
            f"others. Received: one without; {advice}"
        )


def best_instructions() -> str:
    """The fastest of `INSTRUCTIONS` that this machine has, by what the kernel says of it."""
    return AMX if platform.machine() == "x86_64" and "amx_int8" in _flags() else AVX2


@cache
def _flags() -> frozenset[str]:
    """What the processor can, in the words of Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


@contextlib.contextmanager
def limited(instructions: str) -> Iterator[None]:
    """Context in which oneDNN, where it starts, sees no AMX if that is not asked for."""
    if instructions == AMX or "amx_int8" not in _flags() or _LIMIT in os.environ:
        yield
        return
    os.environ[_LIMIT] = "AVX512_CORE_VNNI"
    try:
        yield
    finally:
        del os.environ[_LIMIT]


def _numbers(shape: Any) -> int:
    return math.prod(shape.to_shape())


@cache
def _core() -> Any:
    return imports.openvino().Core()
