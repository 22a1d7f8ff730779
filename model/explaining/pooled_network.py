"""A float network cut where it pools: pixels to feature map, and pooled features to what the network gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import imports
from .similarity import pooled_parts

_POOLING = {"Mean": "avg", "Max": "max"}
"""TensorFlow's reductions over the places of a map."""
_CLOSE = 1e-5
"""Of the length of the features: more than float32 loses in a layer or two, less than any layer bends."""


@dataclass(frozen=True)
class PooledNetwork:
    """The two halves of a network.

    Attributes:
        feature_map: normalised pixels, float32 (n, height, width, 3), to what is pooled, (n, rows, columns, channels).
        pooling: `avg`, `max` or `gem`.
        after: pooled features, float32 (n, channels), to what the network gives, (n, features), where all rows are
            scaled to a length as the first is; None where that is the same.
    """

    feature_map: Callable[[np.ndarray], np.ndarray]
    pooling: str
    after: Callable[[np.ndarray], np.ndarray] | None = None

    def parts(self, pixels: np.ndarray) -> np.ndarray | None:
        """What each place of a picture adds to the features of the network.

        What belongs to no place, as the bias of a layer behind the pooling, is spread evenly over all.

        Args:
            pixels: normalised, float32 (height, width, 3).

        Returns:
            float64 (rows, columns, features), whose sum over places are the features. None where there is no such sum,
            as what comes behind the pooling is not linear, or where the map has one place only.
        """
        parts = pooled_parts(self.feature_map(pixels[None])[0], self.pooling)
        shape, places = parts.shape[:2], parts.shape[0] * parts.shape[1]
        if places == 1:
            return None
        if self.after is None:
            return parts
        pooled = parts.reshape(places, -1)
        # One call for all: the sum, nothing, and each place alone.
        given = np.vstack([pooled.sum(axis=0), np.zeros_like(pooled[0]), pooled])
        whole, nothing, *alone = self.after(given.astype(np.float32)).astype(np.float64)
        mapped = np.stack(alone) - nothing * (1 - 1 / places)
        if np.linalg.norm(mapped.sum(axis=0) - whole) > _CLOSE * np.linalg.norm(whole):
            return None
        return mapped.reshape(*shape, -1)


def cut(function: Any) -> PooledNetwork | None:
    """Cuts the function of a float network at the pooling of its last feature map.

    Args:
        function: TensorFlow's concrete function, (n, height, width, 3) to features (n, features), or to a feature map,
            which is pooled by `gem` behind it.

    Returns:
        The two halves; None where the way back from the features does not lead, without a branch, to a mean or a
        maximum over all places of a map.
    """
    imports.tensorflow()
    with imports.importing("TensorFlow"):
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # One flat graph, whose functions are written out: only such a one can be cut.
    flat = convert_variables_to_constants_v2(function)
    (pixels,), (features,) = flat.inputs, flat.outputs
    if features.shape.rank == 4:
        return PooledNetwork(_arrays(flat.prune(pixels, features)), "gem")
    of_picture = _following(pixels)
    node, lengths = features.op, []
    while not _pools(node):
        before = [tensor for tensor in node.inputs if tensor.op in of_picture]
        if _scales(node, before):
            lengths.append(before.pop())
        if len(before) != 1:
            return None
        node = before[0].op
    pooled = node.outputs[0]
    after = _scaled_as_first(
        flat.prune([pooled, *lengths], features), flat.prune(pooled, lengths), pooled.shape
    )
    return PooledNetwork(_arrays(flat.prune(pixels, node.inputs[0])), _POOLING[node.type], after)


def _following(tensor: Any) -> set[Any]:
    """The operations that numbers of a tensor reach; not those that only see its shape."""
    found, waiting = {tensor.op}, [tensor]
    while waiting:
        for operation in waiting.pop().consumers():
            if operation not in found and operation.type != "Shape":
                found.add(operation)
                waiting += operation.outputs
    return found


def _pools(operation: Any) -> bool:
    tf = imports.tensorflow()

    if operation.type not in _POOLING or operation.inputs[0].shape.rank != 4:
        return False
    axes = tf.get_static_value(operation.inputs[1])
    return axes is not None and sorted(np.ravel(axes) % 4) == [1, 2]


def _scales(operation: Any, before: list[Any]) -> bool:
    """Whether it multiplies or divides what comes first by what comes second, one number for each picture."""
    return (
        operation.type in ("Mul", "RealDiv", "DivNoNan")
        and len(before) == 2
        and before[1].shape.rank is not None
        and before[1].shape[1:].num_elements() == 1
    )


def _scaled_as_first(function: Any, lengths: Any, shape: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Pooled features and lengths to features, from array to array, with the lengths of the first row for all."""
    tf = imports.tensorflow()

    def call(array: np.ndarray) -> np.ndarray:
        rows = tf.constant(array.reshape(len(array), *shape[1:]))
        return np.asarray(function(rows, *(tf.repeat(one, len(array), 0) for one in lengths(rows[:1]))))

    return call


def _arrays(function: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A function of TensorFlow, from array to array."""
    tf = imports.tensorflow()

    return lambda array: np.asarray(function(tf.constant(array)))
