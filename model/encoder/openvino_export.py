"""From the float SavedModel to a network of eight bits for OpenVINO, by NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import imports
from ..errors import LookalikeError
from ..images.preprocess import Preprocess
from ..quiet import quiet
from .openvino import limited
from .openvino_ir import checked_ir


def quantise(
    saved_model: Path, preprocess: Preprocess, pixels: np.ndarray, batch: int, instructions: str
) -> tuple[bytes, bytes]:
    """A network from `batch` pictures, uint8, to float32 features; its activations have 8 bits, its weights 7.

    Args:
        saved_model: the float network, from normalized pixels.
        preprocess: whose normalize becomes part of it.
        pixels: array of shape (n, height, width, 3), uint8, that shows how large each layer's numbers are.
        batch: pictures a call.
        instructions: that this process is to use; it starts oneDNN, which decides once.

    Returns:
        The network and its weights, as `checked_ir` takes them.

    Raises:
        LookalikeError: if OpenVINO or NNCF is not installed, or the network has a layer that is not allowed.
    """
    with _logging_kept():
        openvino, nncf = imports.openvino(), imports.nncf()
    shown = pixels[np.arange(-(-len(pixels) // batch) * batch) % len(pixels)]
    batches = [preprocess.normalize(shown[at : at + batch]) for at in range(0, len(shown), batch)]
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        with (
            quiet(),
            _logging_kept(),
            limited(instructions),
            contextlib.redirect_stdout(io.StringIO()),
            tempfile.TemporaryDirectory(prefix="lookalike-") as folder,
        ):
            model = openvino.convert_model(str(saved_model), input=[batch, *pixels.shape[1:]])
            model = nncf.quantize(
                model,
                nncf.Dataset(batches),
                subset_size=len(batches),
                # Seven bits: a sum of two products of eight leaves 16 bits, in which AVX2 adds them.
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
            )
            steps = openvino.preprocess.PrePostProcessor(model)
            steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
            normalize = steps.input().preprocess().convert_element_type(openvino.Type.f32)
            normalize.mean(preprocess.mean.tolist()).scale(preprocess.std.tolist())
            path = Path(folder, "network.xml")
            openvino.save_model(steps.build(), path, compress_to_fp16=False)
            weights = path.with_suffix(".bin").read_bytes()
            return checked_ir(path.read_bytes(), weights, "that OpenVINO made of it"), weights
    except OSError:
        raise
    except Exception as error:  # of several kinds, as the converter is called through two languages
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise LookalikeError(
            f"OpenVINO cannot compute the network in eight bits; --variant int8 is without it. Received: {reason}"
        ) from None


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Undoes what OpenVINO's converter and NNCF do to this process's log.

    The one sets the root logger to errors alone and filters it, the other makes all later loggers of its own class:
    after an encoder was built, no warning was seen.
    """
    root, kind = logging.getLogger(), logging.getLoggerClass()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers
        logging.setLoggerClass(kind)
