"""TFLite models with a change or two, each checked, and run in a process of its own if it passes: does that one die?

    python -m tests.fuzz.tflite_models --count 2000

Prints how many were refused, how many ran, how many TFLite refused, and of each that died the number, the signal and
the change; ends with 1 if there was one. The same seed gives the same models.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.model.encoder.tflite import check_tflite
from lookalike.model.errors import LookalikeError
from tests.fuzz.in_a_child import ended

SECONDS = 20
BYTES = 4 << 30
"""More address space than this process has; a model of 100 kB that wants more has died of it."""
_EDGES = (
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    1 << 16,
    1 << 24,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 30,
)


@dataclass(frozen=True)
class Mutant:
    """A changed model, and what was changed."""

    content: bytes
    change: str


def models() -> list[bytes]:
    """Whole models of some 20 kinds of operations: of int8, and of float."""
    import keras
    import tensorflow as tf

    from lookalike.model.encoder.export import _export, _quantise
    from lookalike.model.images.preprocess import parse_spec

    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu")(image)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Concatenate()([x, layers.Activation("hard_silu")(y)])
    x = layers.ZeroPadding2D(1)(layers.MaxPooling2D()(x))
    x = layers.Add()([x, layers.AveragePooling2D(3, 1, padding="same")(x)])
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Multiply()([x, layers.Activation("sigmoid")(x)])
    x = layers.LeakyReLU()(layers.PReLU(shared_axes=[1, 2])(x))
    x = layers.Permute((2, 1, 3))(x[:, 1:9, 2:10])
    pooled = layers.GlobalAveragePooling2D()(x)
    flat = layers.Dense(8)(layers.Flatten()(x))
    x = layers.Concatenate()([layers.Softmax()(pooled), layers.UnitNormalization()(flat)])
    network = keras.Model(image, x)
    spec = parse_spec("decode|resize(16,16)|normalize(127,128)")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        _export(network, Path(folder, "model"))
        int8 = _quantise(Path(folder, "model"), spec, pixels)
        plain = bytes(tf.lite.TFLiteConverter.from_saved_model(str(Path(folder, "model"))).convert())
    return [int8, plain]


def mutants(models: list[bytes], seed: int) -> Iterator[Mutant]:
    """Endless changed models."""
    generator = np.random.default_rng(seed)
    structure = [_structure(model) for model in models]
    while True:
        which = int(generator.integers(len(models)))
        content, places = bytearray(models[which]), structure[which]
        changes = []
        for _ in range(int(generator.integers(1, 4))):
            kind = generator.choice(["byte", "number", "copy", "field", "field", "field"])
            if kind == "field":
                content, change = _other_field(bytes(content), generator) or (content, "none")
                places = _structure(bytes(content)) if change != "none" else places
            else:
                change = _other_bytes(content, places, str(kind), generator)
            changes.append(change)
        yield Mutant(bytes(content), "; ".join(changes))


def _structure(content: bytes) -> np.ndarray:
    """Places of the file, a multiple of 4 each, that are not the middle of weights."""
    from tensorflow.lite.python.schema_py_generated import Model

    used = np.ones(len(content), bool)
    model = Model.GetRootAs(content)
    for number in range(model.BuffersLength()):
        buffer = model.Buffers(number)
        if buffer.DataLength() > 64:
            begin = buffer._tab.Vector(buffer._tab.Offset(4))
            used[begin : begin + buffer.DataLength()] = False
    places = np.flatnonzero(used)
    return places[places % 4 == 0]


def _other_bytes(content: bytearray, places: np.ndarray, kind: str, generator: np.random.Generator) -> str:
    at = int(generator.choice(places[places < len(content) - 4]))
    if kind == "byte":
        at += int(generator.integers(4))
        content[at] = int(generator.integers(256))
    elif kind == "number":
        content[at : at + 4] = (int(generator.choice(_EDGES)) & 0xFFFFFFFF).to_bytes(4, "little")
    else:
        source = int(generator.choice(places[places < len(content) - 4]))
        content[at : at + 4] = content[source : source + 4]
    return f"{kind} at {at}"


def _other_field(content: bytes, generator: np.random.Generator) -> tuple[bytearray, str] | None:
    """Another value in one field of a tensor or an operation, in a file that is whole."""
    import flatbuffers
    from tensorflow.lite.python.schema_py_generated import Model, ModelT

    try:
        model = ModelT.InitFromObj(Model.GetRootAs(content))
        graph = model.subgraphs[0]
        things = [*graph.tensors, *graph.operators]
        things += [t.quantization for t in graph.tensors if t.quantization is not None]
        things += [o.builtinOptions for o in graph.operators if o.builtinOptions is not None] * 2
        things += [b for b in model.buffers if b.data is not None and 0 < len(b.data) <= 64] * 2
        thing = things[generator.integers(len(things))]
        name = str(generator.choice(list(vars(thing))))
        before = getattr(thing, name)
        setattr(thing, name, after := _other(before, generator))
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), b"TFL3")
        changed = bytearray(builder.Output())
    except Exception:  # damaged by the change before, or not of a type that can be written
        return None
    return changed, f"{type(thing).__name__}.{name} {str(before)[:60]} -> {str(after)[:60]}"


def _other(value: Any, generator: np.random.Generator) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return (
            int(generator.choice(_EDGES))
            if generator.random() < 0.5
            else value + int(generator.choice([-1, 1]))
        )
    if isinstance(value, float):
        return float(generator.choice([0, -1, np.nan, np.inf, 1e30, 1e-30, 1e22, 1e-22, 1e9, 1e-9]))
    if isinstance(value, (np.ndarray, list)) and len(value):
        changed = np.array(value)
        if changed.dtype == np.uint8 and len(changed) % 4 == 0:
            changed = changed.view(np.int32)
        kind = generator.integers(3)
        if kind == 0:
            return np.delete(changed, generator.integers(len(changed)))
        if kind == 1:
            return np.append(changed, changed[:1])
        place = generator.integers(len(changed))
        changed[place] = np.array([_other(changed[place].item(), generator)]).astype(changed.dtype)[0]
        return (
            changed.view(np.uint8) if isinstance(value, np.ndarray) and value.dtype == np.uint8 else changed
        )
    return value


def outcome(content: bytes) -> str:
    """`refused`, `ran`, `not for TFLite`, or how the process died in which it was run."""
    try:
        check_tflite(content, "x")
    except LookalikeError:
        return "refused"
    return ended(lambda: _run(content), {0: "ran", 1: "not for TFLite"}, SECONDS, BYTES)


def _run(content: bytes) -> int:
    import tensorflow as tf

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
        (source,) = interpreter.get_input_details()
        interpreter.resize_tensor_input(source["index"], [8, *source["shape"][1:]])
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], np.zeros((8, *source["shape"][1:]), source["dtype"]))
        interpreter.invoke()
        interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    except (ValueError, RuntimeError, MemoryError):
        return 1
    except BaseException:
        traceback.print_exc()
        return 2
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs it; see the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="models that pass the check and are run")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    originals = models()
    for original in originals:
        if (whole := outcome(original)) != "ran":
            raise SystemExit(f"Expected the model to run as it is. Received: {whole}")
    counts: Counter[str] = Counter()
    died = []
    for number, mutant in enumerate(mutants(originals, asked.seed)):
        result = outcome(mutant.content)
        counts[result] += 1
        if result.startswith("died"):
            died.append(number)
            print(f"{number}: {result}: {mutant.change}", flush=True)
        if sum(counts.values()) - counts["refused"] >= asked.count:
            break
    print(", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
    return 1 if died else 0


if __name__ == "__main__":
    sys.exit(main())
