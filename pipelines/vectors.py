"""The ScaNN wrapper: validated vectors in, exact scores out, files that can be moved.

Only this file imports scann, and only when it is first needed: it brings TensorFlow with it (3 to 7 s).
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from model.errors import LookalikeError
from pipelines.scores import Metric, checked, nearness, pair_scores
from pipelines.tuning import SearchSettings, tune

Algorithm = Literal["brute_force", "ah", "tree"]

_BRUTE_FORCE_BELOW = 20_000
_TREE_FROM = 100_000
_TRAINING_SAMPLE = 250_000
"""Trained on 200,000 of 200,000 vectors in 2,000 clusters, 2 leaves gave recall 0.993; on 100,000, 0.981."""
_SLACK = 2
"""Results beyond the tuned k that need no wider search: the merge asks for k + 1, or k + 2 to skip one."""
_BATCH = 1024
"""Queries that a thread takes at once: 5 to 10 % faster than ScaNN's 256."""
_EXACT_SLACK = 8
"""Euclidean brute force ranks by |q|^2 + |x|^2 - 2qx, so near ties are decided on a few more rows."""
DATASET = "dataset.npy"
_ASSETS = "scann_assets.pbtxt"
_SEARCHER = "searcher.json"


@dataclass(frozen=True)
class IndexParameters:
    """How an index was built: everything that, with the vectors, decides its files.

    Attributes:
        algorithm: brute force below 20,000 vectors, quantised codes (AH) below 100,000,
            a tree of them from there.
        leaves: partitions of the tree, twice the square root of the count (measured: 900 for 200,000
            reached the recall of 450 with half the time); 0 without one.
        training_sample: vectors the tree and the codebook are trained on.
        seed: of the sample of vectors that search settings are tuned with.
    """

    algorithm: Algorithm
    leaves: int
    training_sample: int
    seed: int


class Searcher:
    """An index in memory; `build` and `load` make one.

    Attributes:
        vectors: float32 (n, dim), read-only; unit length for cosine. A memory map if the index was loaded.
        metric: cosine or euclidean.
        parameters: how it was built.
        settings: how it is searched.
        threads: cores that a batch of queries is searched on.
        scann: ScaNN's own searcher; None for brute force, which needs none on disk.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        metric: Metric,
        parameters: IndexParameters,
        settings: SearchSettings,
        threads: int,
        scann: Any = None,
    ) -> None:
        self.vectors = vectors.view()
        self.vectors.flags.writeable = False
        self.metric: Metric = metric
        self.parameters = parameters
        self.settings = settings
        self.threads = threads
        self.scann = scann
        if scann is not None:
            scann.set_num_threads(threads)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.vectors.shape[1])

    def search(self, queries: np.ndarray, k: int, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The `k` nearest vectors of each query, nearest first.

        Args:
            queries: shape (q, dim), q may be 0.
            k: results a query; beyond the k that was tuned for, more is looked at in proportion.
            exact: compare with every vector instead of using the tuned settings.

        Returns:
            rows: int64 (q, k), -1 where there are fewer than k results.
            scores: float32 (q, k), the cosine or the euclidean distance by `pair_scores`;
                NaN where the row is -1.

        Raises:
            LookalikeError: for k below 1, another dimension, or naming the first query that has no score.
        """
        if k < 1:
            raise LookalikeError(f"Expected at least 1 result a query. Received: k={k}")
        queries = checked(queries, self.metric, dim=self.dim, what="query")
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), np.nan, np.float32)
        wanted = min(k, len(self))
        if wanted and len(queries):
            rows[:, :wanted], scores[:, :wanted] = self._ranked(
                queries, self._candidates(queries, wanted, exact)
            )
        return rows, scores

    def _candidates(self, queries: np.ndarray, k: int, exact: bool) -> np.ndarray:
        settings = self.settings
        # Reordering k scattered rows costs 8 times as much as reading them in order.
        if exact or settings.pre_reorder == 0 or k * 8 >= len(self):
            return self.exact_rows(queries, k)
        growth = max(1.0, k / (settings.k + _SLACK))
        leaves = min(self.parameters.leaves, int(np.ceil(settings.leaves_to_search * growth)))
        return self.approximate_rows(queries, k, leaves, int(np.ceil(settings.pre_reorder * growth)))

    def _ranked(self, queries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = pair_scores(self.vectors, queries, rows, self.metric, self.threads)
        near = nearness(scores, self.metric)
        # ScaNN's own order is right but for rows that differ in the last bit.
        wrong = np.flatnonzero((near[:, 1:] > near[:, :-1]).any(axis=1))
        if len(wrong):
            order = np.argsort(-near[wrong], axis=1, kind="stable")
            rows[wrong] = np.take_along_axis(rows[wrong], order, axis=1)
            scores[wrong] = np.take_along_axis(scores[wrong], order, axis=1)
        return rows, scores

    def approximate_rows(self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int) -> np.ndarray:
        """ScaNN's answer with these settings: int64 (q, k), -1 for none. Queries as from `scores.checked`."""
        return _scann_rows(self.scann, queries, k, self.threads, leaves or None, max(pre_reorder, k))

    def exact_rows(self, queries: np.ndarray, k: int) -> np.ndarray:
        """The `k` nearest of all vectors, k at most their number: int64 (q, k). Queries likewise."""
        scann, centre = self._brute_force
        if self.metric == "cosine":
            return _scann_rows(scann, queries, k, self.threads)
        wide = min(len(self), k + _EXACT_SLACK)
        return self._ranked(queries, _scann_rows(scann, queries - centre, wide, self.threads))[0][:, :k]

    @functools.cached_property
    def _brute_force(self) -> tuple[Any, np.ndarray]:
        # Without centring, squared distances of vectors far from the origin cancel: 1000 + noise of 64
        # dimensions gave errors of 81 where the distances were 60, and negative squares.
        centre = np.zeros(self.dim, np.float32)
        vectors = self.vectors
        if self.metric == "euclidean":
            centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
            vectors = vectors - centre
        scann = _builder(vectors, self.metric, 1, self.threads).score_brute_force().build()
        scann.set_num_threads(self.threads)
        return scann, centre

    @functools.cached_property
    def radius(self) -> float:
        """Greatest distance of a vector from their mean; 0.0 if there are none.

        For cosine 1.0. With it goes the rounding error of ScaNN's squared distances: some 1e-6 of its square.
        """
        if self.metric == "cosine" or not len(self):
            return float(self.metric == "cosine")
        off = self.vectors - self.vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        return float(np.sqrt(np.einsum("nd,nd->n", off, off).max()))

    def save(self, folder: str) -> list[str]:
        """Writes the index into an existing local folder.

        Returns:
            The names of the files, sorted. They hold no absolute path, so that the folder may be moved.
        """
        before = set(os.listdir(folder))
        if self.scann is not None:
            self.scann.serialize(folder)
            assets = _read_assets(os.path.join(folder, _ASSETS))
            for asset in assets.assets:
                asset.asset_path = Path(asset.asset_path).name
            Path(os.path.join(folder, _ASSETS)).write_text(_text_format().MessageToString(assets), "utf-8")
        else:
            np.save(os.path.join(folder, DATASET), self.vectors, allow_pickle=False)
        fields = {
            "metric": self.metric,
            "parameters": asdict(self.parameters),
            "settings": asdict(self.settings),
        }
        Path(folder, _SEARCHER).write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
        return sorted(set(os.listdir(folder)) - before)


def build(
    vectors: np.ndarray,
    *,
    metric: Metric,
    recall_target: float = 0.99,
    k: int = 10,
    threads: int | None = None,
    seed: int = 0,
    _algorithm: Algorithm | None = None,
) -> Searcher:
    """Builds an index and finds its search settings; the same input gives the same files, to the byte.

    Args:
        vectors: float32 (n, dim), n may be 0; cosine scales them to unit length.
        metric: cosine, searched as a dot product of unit vectors, or euclidean.
        recall_target: recall at `k` that the settings must reach, 0 to 1.
        k: results a query to tune for.
        threads: cores to use; None for all.
        seed: of the sample of tuning queries.

    Raises:
        LookalikeError: naming the first vector that is not finite, or zero under cosine.
    """
    vectors = checked(vectors, metric)
    threads = threads or _all_cores()
    count = len(vectors)
    algorithm = _algorithm or algorithm_for(count)
    leaves = max(1, min(count, round(2 * count**0.5))) if algorithm == "tree" else 0
    parameters = IndexParameters(algorithm, leaves, min(count, _TRAINING_SAMPLE), seed)
    exact = SearchSettings(k, 0, 0, 1.0, 1.0, recall_target, 0)
    if algorithm == "brute_force":
        return Searcher(vectors, metric, parameters, exact, threads)
    searcher = Searcher(
        vectors, metric, parameters, exact, threads, _trained(vectors, metric, parameters, k, threads)
    )
    searcher.settings = tune(searcher, k=k, target=recall_target, seed=seed)
    return searcher


def algorithm_for(count: int) -> Algorithm:
    if count < _BRUTE_FORCE_BELOW:
        return "brute_force"
    return "ah" if count < _TREE_FROM else "tree"


def _trained(vectors: np.ndarray, metric: Metric, parameters: IndexParameters, k: int, threads: int) -> Any:
    builder = _builder(vectors, metric, k, threads)
    cosine = metric == "cosine"
    if parameters.algorithm == "tree":
        # Spherical: a tight cluster's longer mean would draw all queries. At 2 of 450 leaves recall was 0.993
        # against 0.808, at equal speed. SOAR on top gained less than its second copy of the codes costs.
        builder = builder.tree(
            parameters.leaves,
            max(1, parameters.leaves // 10),
            training_sample_size=parameters.training_sample,
            spherical=cosine,
            random_init=False,
        )
    return (
        builder.score_ah(
            min(2, vectors.shape[1]),
            anisotropic_quantization_threshold=0.2 if cosine else float("nan"),
            training_sample_size=parameters.training_sample,
        )
        .reorder(k * 10)
        .build()
    )


def load(folder: str, threads: int | None = None) -> Searcher:
    """Opens an index from a local folder that `save` wrote, wherever it now lies.

    The files must be known to be whole: ScaNN answers wrongly from a truncated one and crashes without one,
    so `index_shard.open_index_shard` checks their digests before it calls this.

    Raises:
        LookalikeError: if a file of ours is unreadable or ScaNN refuses its files.
    """
    folder = str(Path(folder).absolute())
    try:
        fields = json.loads(Path(folder, _SEARCHER).read_text("utf-8"))
        metric: Metric = fields["metric"]
        parameters = IndexParameters(**fields["parameters"])
        settings = SearchSettings(**fields["settings"])
        vectors = np.load(os.path.join(folder, DATASET), mmap_mode="r", allow_pickle=False)
        scann = None if parameters.algorithm == "brute_force" else _opened(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise LookalikeError(f"Expected the files of an index in {folder}. Received: {error}") from error
    return Searcher(vectors, metric, parameters, settings, threads or _all_cores(), scann)


def _opened(folder: str) -> Any:
    ops = _scann_ops()
    assets = _read_assets(os.path.join(folder, _ASSETS))
    for asset in assets.assets:
        asset.asset_path = os.path.join(folder, Path(asset.asset_path).name)
    return ops.ScannSearcher(ops.scann_pybind.ScannNumpy(folder, _text_format().MessageToString(assets)))


def _scann_rows(
    scann: Any,
    queries: np.ndarray,
    k: int,
    threads: int,
    leaves: int | None = None,
    pre_reorder: int | None = None,
) -> np.ndarray:
    batch = min(_BATCH, -(-len(queries) // (2 * threads)))
    rows, distances = scann.search_batched_parallel(queries, k, pre_reorder, leaves, batch)
    rows = rows.astype(np.int64)
    # A missing result is row 0 at distance NaN.
    rows[np.isnan(distances)] = -1
    return rows


def _builder(vectors: np.ndarray, metric: Metric, k: int, threads: int) -> Any:
    measure = "dot_product" if metric == "cosine" else "squared_l2"
    return _scann_ops().builder(vectors, k, measure).set_n_training_threads(threads)


def _all_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _scann_ops() -> Any:
    from scann.scann_ops.py import scann_ops_pybind

    return scann_ops_pybind


def _text_format() -> Any:
    from google.protobuf import text_format

    return text_format


def _read_assets(path: str) -> Any:
    from scann.scann_ops import scann_assets_pb2

    return _text_format().Parse(Path(path).read_text("utf-8"), scann_assets_pb2.ScannAssets())
