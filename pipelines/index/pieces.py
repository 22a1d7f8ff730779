"""Searches of many queries in many index shards, cut into pieces: some shards, a few open at a time, and some queries.

    for each piece, in one worker:            for some index shards, then the next ones, ...
        ask(the shards that are open, a block of queries), merged with what those before answered
    read_merged(all pieces of these queries)  merged again

What a piece found is a file of the run (`answers.write_answers`), a block of answers for each block of queries. What a
worker knows meanwhile, if its shards do not fit into memory together, lies in a temporary folder of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from lookalike.model.memory import memory

from ..filesystem import files
from ..runner import progress
from ..store import generations
from ..store.generation import IndexRef
from .answers import Answers, merged, read_answers, write_answers
from .groups import Grouping
from .opening import memory_of, opened_in_turn, that_fit
from .post_processing import Asked
from .query_blocks import read_queries
from .search import check_alike
from .shard import IndexShard

_IDS = pa.schema([("item_id", pa.string())])
SETS = 64
"""Parts that the index shards are divided into at most, for workers; their answers to a block are merged by one."""


@dataclass(frozen=True)
class Question:
    """Files of queries, and the file for the answers to them."""

    queries: tuple[str, ...]
    answers: str


@dataclass(frozen=True)
class SearchPiece:
    """Some index shards, and what is asked of them; with no questions they are opened, and so checked."""

    refs: tuple[IndexRef, ...]
    questions: tuple[Question, ...]

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SearchPiece:
        """The piece that `to_json` was asked of."""
        questions = (Question(tuple(one["queries"]), one["answers"]) for one in data["questions"])
        return cls(tuple(IndexRef.from_json(ref) for ref in data["refs"]), tuple(questions))


@dataclass(frozen=True)
class Search:
    """Works through pieces; it travels to workers.

    Attributes:
        store: folder of the store.
        asked: what is wanted.
        number: of the search, of those that it takes.
        memory: bytes for the index shards that are open at once; None for half of what there is where it runs.
        excluded: file of ids that never appear, as `write_ids` writes it; None for none.
        progress_folder: where it is noted how far it is; None for nowhere.
    """

    store: str
    asked: Asked
    number: int = 0
    memory: int | None = None
    excluded: str | None = None
    progress_folder: str | None = None

    def __call__(self, pieces: Iterable[SearchPiece]) -> None:
        """Raises LookalikeError for a damaged index, OSError where the file system fails."""
        for piece in pieces:
            there = [files.exists(question.answers) for question in piece.questions]
            if there and all(there):
                continue  # a runner may hand out work again
            self._answer(piece)

    def _answer(self, piece: SearchPiece) -> None:
        excluded = read_ids(self.excluded) if self.excluded else ()
        groups = fitting(self.store, piece.refs, self.memory, exact=self.asked.exact)
        noted = progress.worker_note(self.progress_folder) if self.progress_folder else None
        with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
            for number, shards in enumerate(opened_in_turn(self.store, groups)):
                for place, question in enumerate(piece.questions):
                    before = os.path.join(folder, f"{place}-{number - 1}") if number else None
                    last = number == len(groups) - 1
                    after = question.answers if last else os.path.join(folder, f"{place}-{number}")
                    with write_answers(after) as add:
                        for answers in self._answers(shards, question, before, excluded):
                            add(answers)
                            if noted:
                                told = len(answers.near) * len(shards)
                                noted.add(answers=told, work=told)
                    files.delete([before] if before else [])
                if noted:
                    noted.add(shards=len(shards))
                    noted.write()

    def _answers(
        self,
        shards: Sequence[IndexShard],
        question: Question,
        before: str | None,
        excluded: Collection[str] | pa.Array,
    ) -> Iterator[Answers]:
        """The answers of open shards to each block, merged with those of the shards that were open before."""
        known = read_answers(before) if before else None
        for block in read_queries(question.queries):
            found = self.asked.asked_in(
                self.number, shards, block.vectors, block.ids, excluded, block.columns
            )
            one = self.asked.passes[self.number]
            yield merged([next(known), found], one.k, one.conditions.grouping) if known else found


def fitting(
    store: str, refs: Sequence[IndexRef], limit: int | None, *, exact: bool = False
) -> list[list[IndexRef]]:
    """Index shards in their order, as many together as are open at once.

    Args:
        store: folder of the store.
        refs: the index shards.
        limit: bytes for them; None for half of the memory that there is.
        exact: whether they are searched exactly.

    Raises:
        LookalikeError: if a manifest is damaged or gone, or they do not go together.
    """
    manifests = [generations.read_index(store, ref) for ref in refs]
    check_alike(manifests)
    sizes = [memory_of(manifest, exact=exact) for manifest in manifests]
    return that_fit(refs, sizes, limit or memory() // 2)


def read_merged(paths: Sequence[str], k: int, grouping: Grouping | None = None) -> Iterator[Answers]:
    """The answers of several pieces to the same blocks, each block's merged. Raises OSError."""
    first, *others = map(read_answers, paths)
    for best in first:
        for other in others:
            best = merged([best, next(other)], k, grouping)
        yield best


def divided(refs: Sequence[IndexRef], parts: int) -> list[Sequence[IndexRef]]:
    """Index shards in as many parts of about as many shards; each has one at least."""
    parts = max(1, min(parts, len(refs)))
    return [refs[len(refs) * n // parts : len(refs) * (n + 1) // parts] for n in range(parts)]


def write_ids(path: str, ids: pa.Array) -> None:
    """Writes ids for workers. Raises OSError."""
    with files.write_atomic(path) as file, pa.ipc.new_stream(file, _IDS) as writer:
        writer.write_batch(pa.record_batch([ids], schema=_IDS))


def read_ids(path: str) -> pa.Array:
    """The ids that `write_ids` wrote. Raises OSError."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()["item_id"].combine_chunks()
