"""Looks into a network's graph before it is loaded: it may compute, and not reach outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import LookalikeError
from ..imports import importing

# TensorFlow's own saving and restoring of variables is in every SavedModel; these are in none that we write.
_OUTSIDE = re.compile(r"PyFunc|ReadFile|WriteFile|MatchingFiles|Dataset|Reader|Rpc|Socket|LoadLibrary")


def check_saved_model(folder: Path) -> None:
    """Raises LookalikeError if a SavedModel has an operation that runs code or touches files of its choice."""
    from google.protobuf.message import DecodeError

    with importing("TensorFlow"):
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    try:
        model.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError:
        raise LookalikeError(f"Expected a SavedModel in {folder}. Received: an unreadable one") from None
    if found := sorted({name for name in _operations(model) if _OUTSIDE.search(name)}):
        raise LookalikeError(
            f"The network {folder} is refused: it has operations that reach outside it: {', '.join(found)}"
        )


def _operations(model: object) -> Iterator[str]:
    for graph in model.meta_graphs:  # type: ignore[attr-defined]
        yield from (node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            yield from (node.op for node in function.node_def)


def check_tflite(content: bytes, path: Path) -> None:
    """Raises LookalikeError if a TFLite model has an operation that is not one of TFLite's own."""
    with importing("TensorFlow"):
        from tensorflow.lite.python.schema_py_generated import Model

    model = Model.GetRootAs(content)
    codes = [model.OperatorCodes(i).CustomCode() for i in range(model.OperatorCodesLength())]
    if foreign := sorted({code.decode("utf-8", "replace") for code in codes if code}):
        raise LookalikeError(
            f"The network {path} is refused: it has operations that are not TFLite's: {', '.join(foreign)}"
        )
