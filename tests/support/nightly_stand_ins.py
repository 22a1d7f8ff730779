"""What stands in for the two slow things, the network and Beam's start-up, in sequences of nightly runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from lookalike.model.encoder.bundle import EncodedBatch, Encoder
from lookalike.model.encoder.manifest import (
    FORMAT,
    MANIFEST,
    TFLITE,
    fingerprint,
    manifest_digest,
    read_manifest,
)
from lookalike.runner import beam as runner_beam
from lookalike.runner.work_list import WorkList

DIM = 8


@lru_cache(maxsize=1024)
def vector(encoder: int, picture: int) -> np.ndarray:
    """The vector of a picture: float32 (DIM,), unit length, the same in every process."""
    values = np.random.default_rng([encoder, picture]).standard_normal(DIM)
    return (values / np.linalg.norm(values)).astype(np.float32)


def write_bundle(folder: Path, encoder: int) -> str:
    """A bundle without a network. Returns its fingerprint."""
    network = f"encoder {encoder}".encode()
    manifest = {
        "format": FORMAT,
        "name": f"encoder {encoder}",
        "dim": DIM,
        "preprocessing": "decode",
        "pooling": "avg",
        "projection": None,
        "unit_length": True,
        "variant": "int8",
        "files": {TFLITE: sha256(network).hexdigest()},
    }
    manifest["digest"] = manifest_digest(manifest)
    folder.mkdir(parents=True)
    (folder / TFLITE).write_bytes(network)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return fingerprint(manifest)


class StandInEncoder:
    """Gives `vector` for the bytes `picture 7`, and an error for `picture -7`; counts what it gets."""

    met = 0

    def __init__(self, folder: str, **options: Any) -> None:
        manifest = read_manifest(folder)
        self.fingerprint = fingerprint(manifest)
        self._number = int(manifest["name"].split()[1])

    def submit(self, images: Sequence[bytes], *, suspect: bool = False) -> Future[EncodedBatch]:
        StandInEncoder.met += len(images)
        pictures = [int(image.split()[1]) for image in images]
        errors = {i: "it does not decode" for i, picture in enumerate(pictures) if picture < 0}
        vectors = np.full((len(images), DIM), np.nan, np.float32)
        sizes = np.zeros((len(images), 2), np.int32)
        for i, picture in enumerate(pictures):
            if i not in errors:
                vectors[i], sizes[i] = vector(self._number, picture), 8
        done: Future[EncodedBatch] = Future()
        done.set_result(EncodedBatch(vectors, errors, sizes, 0.0, 0.0))
        return done


def run_each(
    name: str, work_on: Callable[[Iterable[Any]], None], work: WorkList[Any], flags: Sequence[str] = ()
) -> None:
    """In this thread, one piece after another."""
    for piece in range(work.pieces):
        work_on(work.read(piece))


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """Puts `StandInEncoder` and `run_each` in place while the block runs."""

    with (
        patch.object(Encoder, "load", StandInEncoder),
        patch.object(runner_beam, "run_each", run_each),
    ):
        yield
