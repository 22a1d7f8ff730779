"""Encoder bundles with changed bytes in a file and digests that fit: each is opened in a process of its own.

    python -m tests.fuzz.bundles ENCODER --count 500

Opening one and encoding a batch ends with vectors or with a sentence. Prints how many did which, and of each that died
or raised something else the number, the file and what came; ends with 1 if there was one. The same seed changes the
same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from lookalike.model.digests import sha256_file
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import (
    GRAPH,
    INDEX,
    MANIFEST,
    OPENVINO,
    PROJECTION,
    TFLITE,
    WEIGHTS,
    manifest_digest,
)
from lookalike.model.errors import LookalikeError
from tests.fuzz.in_a_child import ended

SECONDS = 60
BYTES = 8 << 30
FILES = {GRAPH: "float", INDEX: "float", PROJECTION: "int8", TFLITE: "int8", MANIFEST: "int8"}
OF_OPENVINO = {OPENVINO: "openvino", WEIGHTS: "openvino"}


def changed(content: bytes, generator: np.random.Generator) -> bytes:
    """`content` with some bytes changed, moved or cut off."""
    data = bytearray(content)
    for _ in range(int(generator.integers(1, 5))):
        at, kind = int(generator.integers(len(data))), generator.integers(5)
        if kind == 0:
            data[at] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            data[at] = int(generator.choice([0, 1, 127, 128, 255]))
        elif kind == 2:
            del data[at : at + int(generator.integers(1, 9))]
        elif kind == 3:
            other = int(generator.integers(len(data)))
            data[at:at] = data[other : other + int(generator.integers(1, 40))]
        else:
            data[at : at + 4] = int(generator.integers(1 << 32)).to_bytes(4, "little")
        if not data:
            break
    return bytes(data)


def seal(folder: Path) -> None:
    """Makes the digests those of the files, where `encoder.json` can still be read."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        manifest["files"] = {name: sha256_file(folder / name) for name in manifest["files"]}
        manifest["digest"] = manifest_digest(manifest)
        path.write_text(json.dumps(manifest))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return


def outcome(folder: Path, variant: str) -> str:
    """`opened`, `refused`, or how the process died, or what it raised."""
    return ended(lambda: _open(folder, variant), {0: "opened", 1: "refused"}, SECONDS, BYTES)


def _open(folder: Path, variant: str) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        opened = Encoder.load(folder, variant=variant, threads=1)
        opened.encode_pixels(
            np.zeros((1, len(opened._scales), opened.preprocess.height, opened.preprocess.width, 3), np.uint8)
        )
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
    parser.add_argument("encoder", type=Path, help="a bundle that is whole")
    parser.add_argument("--count", type=int, default=50, help="changed bundles")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    generator = np.random.default_rng(asked.seed)
    import tensorflow as tf

    _ = tf.lite.Interpreter
    files = FILES | {
        name: variant for name, variant in OF_OPENVINO.items() if (asked.encoder / name).exists()
    }
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(asked.count):
            folder = Path(shutil.copytree(asked.encoder, Path(scratch, str(number))))
            name = list(files)[number % len(files)]
            (folder / name).write_bytes(changed((folder / name).read_bytes(), generator))
            seal(folder)
            result = outcome(folder, files[name])
            counts[result] += 1
            if result not in ("opened", "refused"):
                print(f"{number}: {name}: {result}", flush=True)
            shutil.rmtree(folder)
    print(", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
    return 0 if set(counts) <= {"opened", "refused"} else 1


if __name__ == "__main__":
    sys.exit(main())
