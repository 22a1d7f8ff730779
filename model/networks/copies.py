"""A copy of a network with weights of its own."""

from __future__ import annotations

from typing import Any

from .. import imports


def copied(network: Any, **changes: Any) -> Any:
    """The same network with weights of its own, equal to those there are.

    Args:
        network: a functional `keras.Model`.
        changes: to the configuration of each layer, such as `dtype`.
    """
    keras = imports.keras()

    def clone(operation: Any) -> Any:
        # Not all of a graph are layers: `x / 127.5` is an operation without weights, dtype and such.
        settings = changes if isinstance(operation, keras.Layer) else {}
        return type(operation).from_config(operation.get_config() | settings)

    copy = keras.models.clone_model(network, clone_function=clone)
    copy.set_weights(network.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Normalization):
            # It computes with copies of its weights, which `set_weights` does not renew.
            layer.finalize_state()
    return copy
