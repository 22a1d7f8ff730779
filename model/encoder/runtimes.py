"""The two runtimes of an encoder's network: TFLite for int8, TensorFlow for float. Both see only what was checked."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import imports
from ..errors import LookalikeError
from ..quiet import quiet
from .graphs import checked_saved_model
from .tflite import check_tflite
from .tflite_interpreter import Interpreter


class Int8Network:
    """An int8 network; each thread has its own interpreter with one thread, which beats sharing one.

    Args:
        content: the TFLite model.
        path: where it was read, for messages.
        batch: pictures a call.

    Attributes:
        input_shape, output_shape: of arrays in and out, the batch first.

    Raises:
        LookalikeError: if it is no network that can be trusted to compute, or TFLite cannot use it.
    """

    def __init__(self, content: bytes, path: Path, batch: int) -> None:
        self._content, self._batch = content, batch
        check_tflite(content, path)
        self._local = threading.local()
        try:
            with quiet():  # the first interpreter of a process tells of its delegate, past every log format
                interpreter = self._interpreter()
            if interpreter.output_shape[0] != batch:
                interpreter.again()
        except (ValueError, RuntimeError) as error:
            raise LookalikeError(f"TFLite cannot use the network {path}: {_first_line(error)}") from None
        if interpreter.input_type != np.uint8:
            raise LookalikeError(
                f"Expected a network from uint8 in {path}. Received: {interpreter.input_type.__name__}"
            )
        self.input_shape, self.output_shape = interpreter.input_shape, interpreter.output_shape
        if self.output_shape[:1] != (batch,):
            raise LookalikeError(
                f"Expected a network from {batch} pictures to as many rows in {path}. Received: {self.output_shape}"
            )

    def run(self, pixels: np.ndarray, preprocess: Any) -> np.ndarray:
        """Features of at most `batch` pictures (n, height, width, 3), uint8, in a spec's geometry."""
        interpreter = self._interpreter()
        batch = np.zeros((self._batch, *pixels.shape[1:]), np.uint8)
        batch[: len(pixels)] = self._quantised(pixels, interpreter.input_scale, preprocess)
        return interpreter(batch)[: len(pixels)]

    @staticmethod
    def _quantised(pixels: np.ndarray, quantization: tuple[float, int], preprocess: Any) -> np.ndarray:
        """Pixels on the network's input scale: q = round((x - mean) / std / scale + zero point)."""
        scale, zero = quantization
        levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        table = np.clip(np.rint(preprocess.normalize(levels) / scale + zero), 0, 255).astype(np.uint8)
        if np.array_equal(table, levels):
            return pixels
        return np.stack([table[:, c][pixels[..., c]] for c in range(3)], axis=-1)

    def _interpreter(self) -> Interpreter:
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = Interpreter(self._content, self._batch)
        interpreter: Interpreter = self._local.interpreter
        return interpreter


class FloatNetwork:
    """The float network. Its batches are filled up to one size, so that a vector never depends on the batch.

    Args:
        files: the SavedModel's files by their names.
        path: where its graph was read, for messages.
        batch: pictures a call.

    Attributes:
        input_shape, output_shape: of arrays in and out, the batch first; None where any size will do.
        function: TensorFlow's, from normalised pixels to features.

    Raises:
        LookalikeError: if it is no network that can be trusted to compute, or TensorFlow cannot load it.
    """

    def __init__(self, files: Mapping[str, bytes], path: Path, batch: int) -> None:
        tf = imports.tensorflow()

        self._batch = batch
        checked = dict(files) | {"saved_model.pb": checked_saved_model(files["saved_model.pb"], path)}
        # TensorFlow loads from a folder alone: this one nobody else can write, and it holds what was looked at.
        with tempfile.TemporaryDirectory(prefix="lookalike-") as private:
            os.mkdir(os.path.join(private, "variables"))
            for name, content in checked.items():
                _write(os.path.join(private, name), content)
            try:
                with quiet():
                    self._model = tf.saved_model.load(private)
                (self.function,) = self._model.serve.concrete_functions
                (source,), _ = self.function.structured_input_signature
                target = self.function.structured_outputs
                self.input_shape, self.output_shape = tuple(source.shape), tuple(target.shape)
            except (
                Exception
            ) as error:  # by what is wrong with it: OpError, KeyError, ValueError, AttributeError, ...
                raise LookalikeError(
                    f"TensorFlow cannot load the network {path}: {_first_line(error)}"
                ) from None
        if source.dtype != tf.float32:
            raise LookalikeError(f"Expected a network from float32 in {path}. Received: {source.dtype.name}")

    def run(self, pixels: np.ndarray, preprocess: Any) -> np.ndarray:
        """Features of at most `batch` pictures (n, height, width, 3), uint8, in a spec's geometry."""
        batch = np.zeros((self._batch, *pixels.shape[1:]), np.float32)
        batch[: len(pixels)] = preprocess.normalize(pixels)
        features = np.asarray(self._model.serve(batch))
        if features.shape[:1] != (self._batch,):
            raise ValueError(f"{self._batch} pictures gave numbers of shape {features.shape}")
        return features[: len(pixels)]


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:  # of writing it tells no name
        raise OSError(error.errno, error.strerror, path) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
