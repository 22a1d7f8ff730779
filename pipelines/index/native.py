"""ScaNN's own module: found, opened, asked; parts of scann are imported here alone, when they are first needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.model.imports import module_of

from ..store.index_manifest import Bytes, Metric

_BATCH = 1024
"""Queries that a thread takes at once: 5 to 10 % faster than ScaNN's 256."""
AS_BUILT = -1
"""ScaNN's word for the setting that the index was built with."""
_NATIVE = "scann_ops/cc/python/scann_pybind.so"
_BUILDER = "scann_ops/py/scann_builder.py"
_ASSETS_PROTO = "scann_ops/scann_assets_pb2.py"
_ASSETS = "scann_assets.pbtxt"


def builder(vectors: np.ndarray, metric: Metric, k: int, threads: int) -> Any:
    """ScaNN's builder of an index of vectors float32 (n, dim), searched for `k` unless a search says otherwise."""
    measure = "dot_product" if metric == "cosine" else "squared_l2"
    made = _scann(_BUILDER).ScannBuilder(vectors, k, measure)
    return made.set_n_training_threads(threads).set_builder_lambda(_built)


def reordering(kind: Bytes) -> Any:
    """ScaNN's word for the vectors that it reorders by."""
    return _scann(_BUILDER).ReorderType[kind.upper()]


def _built(vectors: np.ndarray, config: str, threads: int, **_: Any) -> Any:
    return _scann(_NATIVE).ScannNumpy(vectors, config, threads)


def write(scann: Any, folder: str) -> None:
    """Writes ScaNN's files into an existing local folder, which may then be moved."""
    scann.serialize(folder)
    Path(folder, _ASSETS).write_text(_assets(folder, ""), "utf-8")


def opened(folder: str) -> Any:
    """ScaNN's searcher from the files that `write` left in a folder, an absolute path. Raises RuntimeError."""
    return _scann(_NATIVE).ScannNumpy(folder, _assets(folder, folder + "/"))


def made_from(folder: str, files: Mapping[str, str]) -> Any:
    """ScaNN's searcher from some of the files in a folder, an absolute path; what is not among them it makes.

    Args:
        folder: with the configuration that `write` left there.
        files: ScaNN's word for what a file holds -> its name.

    Raises:
        RuntimeError: if ScaNN refuses them.
    """
    proto = _scann(_ASSETS_PROTO)
    listed = [
        proto.ScannAsset(asset_type=kind, asset_path=os.path.join(folder, name))
        for kind, name in files.items()
    ]
    return _scann(_NATIVE).ScannNumpy(folder, str(proto.ScannAssets(assets=listed)))


def _assets(folder: str, prefix: str) -> str:
    """ScaNN's list of its files, which it writes with absolute paths, with `prefix` before each bare name."""
    from google.protobuf import text_format

    assets = _scann(_ASSETS_PROTO).ScannAssets()
    text_format.Parse(Path(folder, _ASSETS).read_text("utf-8"), assets)
    for asset in assets.assets:
        asset.asset_path = prefix + Path(asset.asset_path).name
    return str(text_format.MessageToString(assets))


def asked(
    scann: Any,
    queries: np.ndarray,
    k: int,
    threads: int,
    leaves: int = AS_BUILT,
    pre_reorder: int = AS_BUILT,
    *,
    by_leaf: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest of each query as ScaNN finds them: rows int64 (q, k), -1 for none, and distances.

    `by_leaf` says that it takes all queries of a batch through a leaf together: the more, the better.
    """
    batch = -(-len(queries) // threads) if by_leaf else min(_BATCH, -(-len(queries) // (2 * threads)))
    rows, distances = scann.search_batched(queries, k, pre_reorder, leaves, True, batch)
    rows = rows.astype(np.int64)
    # A missing result is row 0 at distance NaN.
    rows[np.isnan(distances)] = -1
    return rows, distances


def _scann(part: str) -> Any:
    """A module of the package scann by its file; see `imports.module_of`."""
    return module_of("ScaNN", "scann", part, Path(part).stem)
