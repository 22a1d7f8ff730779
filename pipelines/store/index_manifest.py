"""The manifest of an index shard: what it holds, how it is searched, and a digest of every file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from lookalike.model.errors import LookalikeError

ITEM_ID = "item_id"
ITEMS = "items.arrow"
MANIFEST = "manifest.json"
FORMAT: Literal[3] = 3
"""From 3 on there may be a tree without codes; the files of an index of 2 are what they would be today."""

Algorithm = Literal["brute_force", "ah", "tree", "flat_tree"]
Metric = Literal["cosine", "euclidean"]
Bytes = Literal["float32", "bfloat16", "int8"]
"""What each number of a stored vector is."""


@dataclass(frozen=True)
class IndexParameters:
    """How an index was built: everything that, with the vectors, decides its files.

    Attributes:
        algorithm: brute force below 20,000 vectors; from there a tree of quantised codes, or one that compares the
            vectors of its leaves themselves (flat_tree), whichever reaches the recall for less. Under euclidean, or in
            fewer bytes, codes without a tree (AH) below 100,000, a tree of them from there.
        leaves: partitions of the tree; 0 without one.
        training_sample: vectors that the leaves of the tree are found by.
        seed: of that sample.
        bytes: how vectors are stored, which decides their scores.
    """

    algorithm: Algorithm
    leaves: int
    training_sample: int
    seed: int
    bytes: Bytes = "float32"


@dataclass(frozen=True)
class Recall:
    """Recall of one kind of query, by score: a tie with the k-th nearest is a hit.

    Attributes:
        mean: over the queries, 0 to 1.
        lower: lower 95 % bound of that mean, the number that has to reach the target.
        queries: how many.
    """

    mean: float
    lower: float
    queries: int


@dataclass(frozen=True)
class SearchSettings:
    """How an index is searched for k results, and how well that was measured to do.

    Attributes:
        k: results a query.
        leaves_to_search: partitions looked into; 0 for an index without a tree, and for exact search.
        pre_reorder: candidates whose exact score is computed; 0 for exact search.
        target: the recall that was asked for.
        recalls: kind of query (`members`, `without_near_copies`, `isolated`, `disturbed`, `tuning_queries`; see
            `index/trials.py`) -> its recall; empty for exact search.
        best_approximate: of an exact search that stands in where nothing cheaper reached the target, the recall of the
            deepest that was tried; else None.
    """

    k: int
    leaves_to_search: int
    pre_reorder: int
    target: float
    recalls: Mapping[str, Recall]
    best_approximate: float | None = None

    @property
    def recall(self) -> float:
        """The lowest mean recall of a kind; 1.0 for exact search."""
        return min((kind.mean for kind in self.recalls.values()), default=1.0)

    @property
    def recall_lower(self) -> float:
        """The lowest lower bound of a kind; 1.0 for exact search."""
        return min((kind.lower for kind in self.recalls.values()), default=1.0)


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
        settings: how it is searched, with the recall that was measured; one for each k it was tuned for, ascending.
        farthest: the score with the nearest item that 997 of 1,000 tuning queries reached; None where nothing was
            tuned.
            For queries that are much farther from everything the recall is not known.
        scann_version: that wrote the files.
        files: every file but the manifest, by name.
    """

    format: Literal[3]
    metric: Metric
    dim: int
    count: int
    encoder_fingerprint: str
    parameters: IndexParameters
    settings: tuple[SearchSettings, ...]
    scann_version: str
    files: dict[str, FileDigest]
    farthest: float | None = None

    def to_json(self) -> bytes:
        """As indented JSON, the same bytes for the same content."""
        return _MANIFEST.dump_json(self, indent=1) + b"\n"


_MANIFEST = pydantic.TypeAdapter(IndexManifest)
_SETTINGS = pydantic.TypeAdapter(tuple[SearchSettings, ...])


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
        found = json.loads(data)
        if isinstance(found, dict) and found.get("format") in (1, 2):
            found |= {"format": FORMAT, "settings": parse_settings(found["settings"])}
        return _MANIFEST.validate_python(found)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"the file: {error}"
        if isinstance(error, pydantic.ValidationError):
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
        raise LookalikeError(
            f"Expected an index shard's manifest of format {FORMAT} in {path}. Received: {what}"
        ) from error


def parse_settings(written: Any) -> tuple[SearchSettings, ...]:
    """Search settings as JSON holds them, also of an index of format 1, which knew one k and measured with members.

    Raises:
        ValueError: if they are none.
    """
    if isinstance(written, dict):
        kept = {name: written[name] for name in ("k", "leaves_to_search", "pre_reorder", "target")}
        recall = {"mean": written["recall"], "lower": written["recall_lower"], "queries": written["queries"]}
        written = [kept | {"recalls": {"members": recall} if written["pre_reorder"] else {}}]
    return _SETTINGS.validate_python(written)
