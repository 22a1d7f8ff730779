"""TFLite's interpreter as `tensorflow.lite.Interpreter` uses it, to the bit, without TensorFlow's 3.4 s of imports."""

from __future__ import annotations

import numpy as np

from .. import imports

_BUILTIN = 1
"""The operations of TFLite, computed by XNNPACK where it has them: `OpResolverType.AUTO`."""


class Interpreter:
    """A network for batches of one size, on one thread; for one thread at a time.

    Args:
        content: a TFLite model with one input and one output, that `tflite.check_tflite` has passed.
        batch: pictures a call.

    Attributes:
        input_type: NumPy's.
        input_scale: scale and zero point of the input; 0.0 and 0 where it has none.

    Raises:
        ValueError, RuntimeError: if TFLite cannot use it.
    """

    def __init__(self, content: bytes, batch: int) -> None:
        self._content = content  # TFLite reads in it as long as it runs
        self._native = imports.tflite().CreateWrapperFromBuffer(
            content, _BUILTIN, [], [], False, False, 1, False
        )
        (self._source,), (self._target,) = self._native.InputIndices(), self._native.OutputIndices()
        shape = np.array([batch, *self.input_shape[1:]], np.int32)
        self._native.ResizeInputTensor(self._source, shape, False)
        # Without the number of a graph: with one, XNNPACK is not asked.
        self._native.AllocateTensors()
        self.input_type: type = self._native.TensorType(self._source, 0)
        self.input_scale: tuple[float, int] = self._native.TensorQuantization(self._source, 0)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of arrays in, the batch first."""
        return tuple(map(int, self._native.TensorSize(self._source, 0)))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of arrays out; behind a shape that is computed, it is known only after a call."""
        return tuple(map(int, self._native.TensorSize(self._target, 0)))

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """What the network makes of a batch, in memory of its own."""
        self._native.SetTensor(self._source, batch)
        return self.again()

    def again(self) -> np.ndarray:
        """The same of what the input holds now."""
        self._native.Invoke()
        result: np.ndarray = self._native.GetTensor(self._target, 0)
        return result
