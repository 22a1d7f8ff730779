"""The manifest of an index shard: what it holds, how it is searched, and a digest of every file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from lookalike.model.errors import LookalikeError

ITEM_ID = "item_id"
ITEMS = "items.arrow"
MANIFEST = "manifest.json"

Algorithm = Literal["brute_force", "ah", "tree"]
Metric = Literal["cosine", "euclidean"]


@dataclass(frozen=True)
class IndexParameters:
    """How an index was built: everything that, with the vectors, decides its files.

    Attributes:
        algorithm: brute force below 20,000 vectors, quantised codes (AH) below 100,000,
            a tree of them from there.
        leaves: partitions of the tree, twice the square root of the count; 0 without one. Searching 2 of 900
            leaves of 200,000 vectors gave recall 0.992, 2 of 450 gave 0.980.
        training_sample: vectors the tree and the codebook are trained on.
        seed: of the sample of vectors that search settings are tuned with.
    """

    algorithm: Algorithm
    leaves: int
    training_sample: int
    seed: int


@dataclass(frozen=True)
class SearchSettings:
    """How an index is searched, and how well that was measured to do.

    Attributes:
        k: results a query that recall was measured for.
        leaves_to_search: partitions looked into; 0 for an index without a tree.
        pre_reorder: candidates whose exact score is computed; 0 for exact search.
        recall: mean recall at k over the queries, by score: a tie with the k-th nearest is a hit.
        recall_lower: lower 95 % bound of that mean, the number that had to reach the target.
        target: the recall that was asked for; `recall_lower` stays below it if nothing reached it.
        queries: vectors of the index that served as queries, each without itself; 0 for exact search.
    """

    k: int
    leaves_to_search: int
    pre_reorder: int
    recall: float
    recall_lower: float
    target: float
    queries: int


@dataclass(frozen=True)
class FileDigest:
    """A file of the shard: SHA-256 in hexadecimal, and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class IndexManifest:
    """What an index shard is made of; written last, so that a folder without one is unfinished.

    Attributes:
        format: version of this layout.
        metric, dim, count: of the vectors.
        encoder_fingerprint: of the encoder that made them; vectors of two encoders are never mixed.
        parameters: how the index was built, its algorithm first.
        settings: how it is searched, with the recall that was measured.
        scann_version: that wrote the files.
        files: every file but the manifest, by name.
    """

    format: Literal[1]
    metric: Metric
    dim: int
    count: int
    encoder_fingerprint: str
    parameters: IndexParameters
    settings: SearchSettings
    scann_version: str
    files: dict[str, FileDigest]

    def to_json(self) -> bytes:
        """As indented JSON, the same bytes for the same content."""
        return _MANIFEST.dump_json(self, indent=1) + b"\n"


_MANIFEST = pydantic.TypeAdapter(IndexManifest)


def read_manifest(folder: str) -> IndexManifest:
    """The manifest of an index shard in a local folder.

    Raises:
        LookalikeError: if there is none, or it cannot be read as one of this version.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        return parse_manifest(Path(path).read_bytes(), path)
    except OSError as error:
        raise LookalikeError(
            f"Expected the manifest of an index shard at {path}. Received: {error}"
        ) from error


def parse_manifest(data: bytes, path: str) -> IndexManifest:
    """The manifest that was read from `path`. Raises LookalikeError if it is none of this version."""
    try:
        return _MANIFEST.validate_json(data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise LookalikeError(
            f"Expected an index shard's manifest of format 1 in {path}. Received: {where}: {first['msg']}"
        ) from error
