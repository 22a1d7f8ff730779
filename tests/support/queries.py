"""Queries near the items of a job, and those that are refused as a whole."""

from __future__ import annotations

import numpy as np

from tests.conftest import Job


def corpus(job: Job) -> tuple[list[str], np.ndarray]:
    """Ids and vectors of a job's embedding files."""
    table = job.embeddings
    return table["item_id"].to_pylist(), np.stack(table["embedding"].to_numpy(zero_copy_only=False))


def noisy(vectors: np.ndarray, n: int = 20) -> np.ndarray:
    """`n` vectors, each a little off one of these."""
    noise = np.random.default_rng(3).normal(size=(n, vectors.shape[1])).astype(np.float32)
    return vectors[np.arange(n) % len(vectors)] + 0.1 * noise


def refused(job: Job, queries: object, *arguments: object) -> str:
    """The sentence of a query that fails; tables of before must be as they were."""
    out = job.folder / "out"
    out.mkdir(exist_ok=True)
    (out / "results.parquet").write_bytes(b"of before")
    done = job.query(queries, *arguments)
    assert done.code == 2, done
    assert sorted(path.name for path in out.iterdir()) == ["results.parquet"]
    assert (out / "results.parquet").read_bytes() == b"of before"
    return done.sentence
