"""Drift: how much of the answers to a fixed sample of queries changed since the last generation.

Index shards are opened a few at a time, as `pieces` do it, here or by workers; one that is in both generations is asked
for both at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..filesystem import files
from ..runner.work_list import write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..store.generation import IndexRef
from .answers import Answers
from .health import Health, health_of
from .opening import open_vectors_of
from .pieces import SETS, Question, Search, SearchPiece, divided, read_merged
from .post_processing import Asked
from .query_blocks import QueryBlock, read_queries, write_queries
from .search import vectors_by_id

SAMPLE = 200
K = 10


@dataclass(frozen=True)
class Drift:
    """A comparison of two generations.

    Each is asked with its own vector of an item, which is left out of the answer; so a changed encoder shows, too.

    Attributes:
        store: folder of the store.
        before: index shards of the last generation; those of the new one for the first.
        after: those of the new one.
        folder: of the run, for what is found.
        memory: see `pieces.Search`.
        flags: Beam's; none for this process.
    """

    store: str
    before: Sequence[IndexRef]
    after: Sequence[IndexRef]
    folder: str
    memory: int | None = None
    flags: Sequence[str] = ()

    def sample(self) -> QueryBlock:
        """Some `SAMPLE` items of the last generation with their vectors there, the same every time.

        Raises:
            LookalikeError, OSError: if an index shard of it cannot be read.
        """
        shards = [self.before[n] for n in _spread(len(self.before), SAMPLE)]
        share = SAMPLE / max(1, sum(ref.count for ref in shards))
        look = _Look(self.store, files.join(self.folder, "sample"), share)
        return self._looked(look, shards)

    def ask_new(self, sample: QueryBlock | None) -> bool:
        """Opens every index shard of the new generation, which checks its digests, and asks for the sample's items.

        Args:
            sample: None opens them only.

        Returns:
            Whether an item of the sample is in both generations.

        Raises:
            LookalikeError, OSError: if one is damaged, or cannot be read.
        """
        kept = {ref.key for ref in self.before}
        new = [ref for ref in self.after if ref.key not in kept]
        in_both = self._in_both(sample, new) if sample else None
        pieces = []
        for name, refs in (("kept", [ref for ref in self.after if ref.key in kept]), ("new", new)):
            asked = () if in_both is None else ("old", "new") if name == "kept" else ("new",)
            pieces += self._pieces(name, refs, asked)
        self._search("new", pieces)
        return in_both is not None

    def overlap(self) -> float | None:
        """The mean fraction of the top 10 that the generations share, for items that are in both; after `ask_new`.

        Returns:
            From 0 (nothing in common) to 1 (the same answers); None if there is nothing to compare.

        Raises:
            LookalikeError, OSError: if an index shard of the last generation cannot be read.
        """
        kept = {ref.key for ref in self.after}
        self._search("old", self._pieces("gone", [r for r in self.before if r.key not in kept], ("old",)))
        before, after = (self._answers(of) for of in ("old", "new"))
        shared = [len(a & b) / max(len(a), len(b)) for a, b in zip(before, after, strict=True) if a or b]
        return float(np.mean(shared)) if shared else None

    def health(self, metric: str) -> Health | None:
        """What the sample finds in the new generation; after `ask_new`, where that found an item in both."""
        (block,) = read_queries([self._questions("new")])
        return health_of(block.ids, self._merged("new"), metric, sum(ref.count for ref in self.after))

    def _in_both(self, sample: QueryBlock, new: Sequence[IndexRef]) -> QueryBlock | None:
        """Those of the sample that are in both generations, with their vectors after; writes both questions down."""
        look = _Look(self.store, files.join(self.folder, "found"), 0, tuple(sample.ids))
        found = self._looked(look, new)
        kept = {ref.key for ref in self.after}
        of_shard = np.array([self.before[n].key in kept for n in _spread(len(self.before), SAMPLE)], bool)
        stay = sample.only(of_shard[sample.numbers])
        now = dict(zip([*stay.ids, *found.ids], [*stay.vectors, *found.vectors], strict=True))
        both = sample.only(np.array([item_id in now for item_id in sample.ids], bool))
        if not both.ids:
            return None
        after = QueryBlock(both.ids, np.stack([now[item_id] for item_id in both.ids]), both.numbers)
        for name, block in (("old", both), ("new", after)):
            with write_queries(self._questions(name), block.vectors.shape[1]) as add:
                add(block)
        return after

    def _questions(self, of: str) -> str:
        return files.join(self.folder, "questions", of)

    def _looked(self, look: _Look, refs: Sequence[IndexRef]) -> QueryBlock:
        elements = [[number, asdict(ref)] for number, ref in enumerate(refs)]
        listed = files.join(look.folder, "work")
        work = write_work_list(listed, elements, len(elements), _numbered, pieces_at_most(self.flags))
        in_workers("Look", look, work, self.flags)
        blocks = list(read_queries(look.path(number) for number in range(len(refs))))
        return QueryBlock(
            [item_id for block in blocks for item_id in block.ids],
            np.concatenate([block.vectors for block in blocks] or [np.empty((0, 1), np.float32)]),
            np.concatenate([block.numbers for block in blocks] or [np.empty(0, np.int64)]),
        )

    def _pieces(self, name: str, refs: Sequence[IndexRef], asked: Sequence[str]) -> list[SearchPiece]:
        if not refs:
            return []
        return [
            SearchPiece(
                tuple(part),
                tuple(
                    Question(
                        (self._questions(of),), files.join(self.folder, "answers", of, f"{name}-{number:03}")
                    )
                    for of in asked
                ),
            )
            for number, part in enumerate(divided(refs, SETS if self.flags else 1))
        ]

    def _search(self, name: str, pieces: Sequence[SearchPiece]) -> None:
        listed = files.join(self.folder, "work", name)
        as_json = (piece.to_json() for piece in pieces)
        work = write_work_list(
            listed, as_json, len(pieces), SearchPiece.from_json, pieces_at_most(self.flags)
        )
        search = Search(self.store, Asked(K, exclude_self=True), memory=self.memory)
        in_workers("Compare", search, work, self.flags)

    def _merged(self, of: str) -> Answers:
        paths = [file.path for file in files.list_files(files.join(self.folder, "answers", of))]
        (found,) = read_merged(paths, K)
        return found

    def _answers(self, of: str) -> list[set[str]]:
        """The ids of the matches of each query."""
        found = self._merged(of)
        ends = np.cumsum(found.held.sum(axis=1))[:-1]
        ids = np.split(found.items["item_id"].to_numpy(), ends)
        return [set(some.tolist()) for some in ids]


@dataclass(frozen=True)
class _Look:
    """Looks into index shards, without opening ScaNN's part of them; it travels to workers.

    Attributes:
        store: folder of the store.
        folder: for a file of items and their vectors for each shard, their numbers being the shard's.
        share: fraction of its items that is wanted of each, spread over it; one item at least.
        ids: of items that are wanted, if `share` is 0.
    """

    store: str
    folder: str
    share: float
    ids: tuple[str, ...] = ()

    def path(self, number: int) -> str:
        """The file of a shard."""
        return files.join(self.folder, f"{number:05}")

    def __call__(self, shards: Iterable[tuple[int, IndexRef]]) -> None:
        """Raises LookalikeError for a damaged index, OSError where the file system fails."""
        for number, ref in shards:
            shard = open_vectors_of(self.store, ref)
            if self.share:
                rows = shard.shown[_spread(len(shard.shown), math.ceil(self.share * len(shard.shown)))]
                found = QueryBlock(
                    shard.item_ids.take(pa.array(rows)).to_pylist(),
                    shard.vectors_of(rows),
                    np.full(len(rows), number),
                )
            else:
                vectors = vectors_by_id([shard], pa.array(self.ids, pa.string()))
                there = np.isfinite(vectors).all(axis=1)
                found = QueryBlock(list(self.ids), vectors, np.full(len(there), number)).only(there)
            with write_queries(self.path(number), shard.manifest.dim) as add:
                add(found)


def _numbered(data: Any) -> tuple[int, IndexRef]:
    number, ref = data
    return number, IndexRef.from_json(ref)


def _spread(count: int, most: int) -> np.ndarray:
    """Up to `most` numbers below `count`, evenly spread: int64."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
