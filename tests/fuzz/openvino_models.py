"""Networks for OpenVINO with a change or two, each checked, and run in a process of its own if it passes: does it die?

    python -m tests.fuzz.openvino_models --count 1000

Prints how many were refused, how many ran, how many OpenVINO refused, and of each that died the number, the signal and
the change; ends with 1 if there was one. The same seed gives the same changes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from lookalike.model import imports
from lookalike.model.encoder.openvino import AVX2, OpenVinoNetwork
from lookalike.model.encoder.openvino_ir import checked_ir
from lookalike.model.errors import LookalikeError
from tests.fuzz.in_a_child import ended

SECONDS = 60
BYTES = 8 << 30
"""More address space than this process has."""
BATCH = 8
_EDGES = (
    "",
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "8",
    "255",
    "4096",
    "65536",
    "16777216",
    "2147483647",
    "1e30",
    "nan",
    "x",
)
_VALUE = re.compile(r'(?<=[ "])(?:-?[0-9.]+|[a-z_0-9]+)(?=[",])|(?<=<dim>)[0-9]+')


def network() -> tuple[bytes, bytes]:
    """A whole network of some 20 kinds of operations."""
    import keras

    from lookalike.model.encoder.export import _export
    from lookalike.model.encoder.openvino_export import quantise
    from lookalike.model.images.preprocess import parse_spec

    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu")(image)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Concatenate()([x, layers.Activation("hard_silu")(y)])
    x = layers.ZeroPadding2D(1)(layers.MaxPooling2D()(x))
    x = layers.Add()([x, layers.AveragePooling2D(3, 1, padding="same")(x)])
    x = layers.Conv2D(4, 3, padding="same", activation="gelu")(x)
    x = layers.Multiply()([x, layers.Activation("sigmoid")(x)])
    x = layers.Dense(8, activation="silu")(layers.Flatten()(layers.LayerNormalization()(x)))
    with tempfile.TemporaryDirectory() as folder:
        _export(keras.Model(image, layers.Softmax()(x)), Path(folder))
        pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 16, 16, 3)).astype(np.uint8)
        return quantise(
            Path(folder), parse_spec("decode|resize(16,16)|normalize(127,128)"), pixels, BATCH, AVX2
        )


def made() -> tuple[bytes, bytes]:
    """`network`, made by another process: one that OpenVINO has computed in cannot be forked."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(network).result()


def changed(xml: str, weights: bytes, generator: np.random.Generator) -> tuple[str, bytes, str]:
    """The network with some values exchanged, or lines left out, and what was done."""
    done = []
    for _ in range(int(generator.integers(1, 4))):
        kind = int(generator.integers(5))
        if kind < 3:
            places = list(_VALUE.finditer(xml))
            at = places[int(generator.integers(len(places)))]
            # An edge of what is possible, or a value of elsewhere.
            value = (
                str(generator.choice(_EDGES))
                if kind
                else places[int(generator.integers(len(places)))].group()
            )
            done.append(f"{xml[max(0, at.start() - 60) : at.end()]} -> {value}")
            xml = xml[: at.start()] + value + xml[at.end() :]
        elif kind == 3:
            lines = xml.split(">")
            at_line = int(generator.integers(len(lines)))
            done.append(f"without {lines[at_line]}")
            xml = ">".join([*lines[:at_line], *lines[at_line + 1 :]])
        else:
            data, place = bytearray(weights), int(generator.integers(len(weights)))
            data[place : place + 4] = int(generator.integers(1 << 32)).to_bytes(4, "little")
            weights = bytes(data[: len(weights)])
            done.append(f"weights at {place}")
    return xml, weights, "; ".join(done)


def outcome(xml: bytes, weights: bytes) -> str:
    """`refused`, `ran`, `refused by OpenVINO`, or how the process died."""
    try:
        checked_ir(xml, weights, "x")
    except LookalikeError:
        return "refused"
    return ended(lambda: _run(xml, weights), {0: "ran", 1: "refused by OpenVINO"}, SECONDS, BYTES)


def _run(xml: bytes, weights: bytes) -> int:
    try:
        opened = OpenVinoNetwork(xml, weights, Path("x"), BATCH, AVX2)
        opened.run(np.zeros((1, *opened.input_shape[1:]), np.uint8), None)
    except LookalikeError as error:
        return 1 if "\n" not in str(error) else 2
    except BaseException as error:
        print(f"  {type(error).__name__}: {str(error)[:300]}", flush=True)
        return 2
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs it; see the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="changed networks")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    generator = np.random.default_rng(asked.seed)
    xml, weights = made()
    imports.openvino()
    assert outcome(xml, weights) == "ran"
    counts: Counter[str] = Counter()
    for number in range(asked.count):
        other, values, change = changed(xml.decode(), weights, generator)
        result = outcome(other.encode(), values)
        counts[result] += 1
        if result not in ("ran", "refused", "refused by OpenVINO"):
            print(f"{number}: {result}: {change}", flush=True)
    print(", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
    return 0 if set(counts) <= {"ran", "refused", "refused by OpenVINO"} else 1


if __name__ == "__main__":
    sys.exit(main())
