"""A network from a Keras file of the user's, cut at the layer that is the embedding."""

from __future__ import annotations

import difflib
import itertools
import re
from pathlib import Path
from typing import Any

from .. import imports
from ..errors import LookalikeError
from .copies import copied

SUFFIXES = (".keras", ".h5", ".hdf5")


def build(path: str, layer: str | None, height: int, width: int) -> Any:
    """Loads a network without running code from its file, and cuts it.

    Networks inside the network (a `keras.applications` base, say) are dissolved, so that their layers can be trained
    part by part; layers whose names Keras would refuse to export get others; layers of augmentation are left out.

    Args:
        path: a `.keras` file, or a whole model (not weights only) as `.h5`.
        layer: the layer whose output is the embedding, or is pooled to it.
        height, width: of the input, pixels.

    Returns:
        A `keras.Model`, (batch, height, width, 3) float32 -> the layer's output. All of it can be trained.

    Raises:
        LookalikeError: if the file cannot be loaded, wants code of its own, is not a network from one picture, or
            has no such layer.
    """
    keras = imports.keras()

    model = _load(path)
    if not _has_graph(model):
        raise LookalikeError(
            f"Expected a Sequential or functional model in {path}, whose layers are known. "
            f"Received: {type(model).__name__}"
        )
    _check_input(model, path, height, width)
    image = keras.Input((height, width, 3), name="image")
    outputs: dict[str, Any] = {}

    def call(inner: Any, *arguments: Any, **options: Any) -> Any:
        outputs[inner.name] = inner(*arguments, **options)
        return outputs[inner.name]

    whole = _functional(model)
    structure = keras.tree.pack_sequence_as(whole.input, [image])
    keras.models.clone_model(whole, structure, clone_function=lambda inner: inner, call_function=call)
    if layer not in outputs:
        raise _no_such_layer(path, layer, outputs)
    if not isinstance(outputs[layer], keras.KerasTensor):
        raise LookalikeError(f"Expected a layer with one output. Received: layer={layer} of {path}")
    shared = keras.Model(image, outputs[layer])
    _rename(shared, {image.name})
    shared = _dissolved(shared)
    _refuse_always_training(shared, path)
    # The shared layers also belong to the graph they came from; copies of them belong to this one only. A layer made
    # untrainable, as of a base that was frozen, would stay so, and one in half precision does not become int8.
    network = copied(shared, trainable=True, dtype="float32")
    network.name = Path(path).stem.lstrip("_") or "network"
    return network


def _load(path: str) -> Any:
    keras = imports.keras()

    import lookalike.model.networks.heads  # noqa: F401  registers layers of ours that a file may have

    if not Path(path).is_file():
        raise LookalikeError(f"Expected a Keras file. Received: no file {path}")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (
        Exception
    ) as error:  # by what is wrong with the file: ValueError, TypeError, KeyError, OSError, ...
        text = str(error)
        if "Lambda" in text or "unsafe" in text:
            raise LookalikeError(
                f"The network {path} is refused: it has a Lambda layer or another part that would run code from the "
                "file. Replace it by a layer of Keras's own and save it again."
            ) from None
        unknown = re.search(r"(Could not locate|Unknown) \w+:? '[^']*'", text)
        reason = (
            unknown.group() if unknown else (text.strip().splitlines() or [type(error).__name__])[0][:300]
        )
        raise LookalikeError(
            f"Expected a whole model in {path} as Keras saves it. Received: {reason}"
        ) from None


def _has_graph(layer: Any) -> bool:
    keras = imports.keras()

    return isinstance(layer, (keras.Sequential, keras.Function)) and layer.built


def _functional(model: Any) -> Any:
    keras = imports.keras()

    return model if isinstance(model, keras.Function) else keras.Model(model.inputs, model.outputs)


def _augments(layer: Any) -> bool:
    """Whether it is one of Keras's layers of augmentation, which change pictures unless told not to."""
    return hasattr(layer, "get_random_transformation") and hasattr(layer, "generator")


def _dissolved(network: Any) -> Any:
    """The same layers in one graph, without networks inside the network, and without augmentation."""
    keras = imports.keras()

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if _has_graph(layer):
            return keras.Function.call(_functional(layer), *arguments)
        return arguments[0] if _augments(layer) else layer(*arguments, **options)

    while any(_has_graph(layer) or _augments(layer) for layer in network.layers):
        network = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
    return network


def _refuse_always_training(network: Any, path: str) -> None:
    for layer in network.layers:
        if any(node.arguments.kwargs.get("training") is True for node in layer._inbound_nodes):
            raise LookalikeError(
                f"Expected layers that know training from use in {path}. Received: {layer.name}, called with "
                "training=True: its output would change from time to time, or with the other images of a batch"
            )


def _check_input(model: Any, path: str, height: int, width: int) -> None:
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    expected = (height, width, 3)
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
        raise LookalikeError(
            f"Expected a network from one picture, (None, height, width, 3), in {path}. Received: {shapes}"
        )
    if any(has not in (None, wants) for has, wants in zip(shapes[0][1:], expected, strict=True)):
        raise LookalikeError(
            f"Expected a preprocessing spec that ends with pictures as {path} takes them, {shapes[0][1]} x "
            f"{shapes[0][2]} pixels. Received: {height} x {width}"
        )


def _no_such_layer(path: str, layer: str | None, outputs: dict[str, Any]) -> LookalikeError:
    near = difflib.get_close_matches(layer or "", outputs, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    there = ", ".join(f"{name} {tuple(getattr(x, 'shape', ()))}" for name, x in outputs.items())
    return LookalikeError(
        f"Expected the name of the layer of {path} that is the embedding. Received: layer={layer}{guess} "
        f"There are: {there}"
    )


def _rename(network: Any, taken: set[str]) -> None:
    """Gives layers, those of networks inside too, names that are unique and do not begin with `_`.

    Keras refuses the first in one graph, and to export the second.
    """
    keras = imports.keras()

    for layer in network.operations:
        if _has_graph(layer):
            _rename(_functional(layer), taken)
        elif not isinstance(layer, keras.layers.InputLayer):
            plain = layer.name.lstrip("_") or "layer"
            names = itertools.chain([plain], (f"{plain}_{number}" for number in itertools.count(2)))
            layer.name = next(name for name in names if name not in taken)
            taken.add(layer.name)
