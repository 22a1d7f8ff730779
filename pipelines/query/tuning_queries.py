"""A file of real queries for the index to be tuned with: yesterday's, say."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.digests import sha256_json
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..embedding.plan import Plan
from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..index.post_processing import BLOCK
from ..index.tuning import AskedQueries
from .blocks import Block, Failure
from .inputs import IMAGE_BLOCK, image_blocks, kind_of, query_options, text_ids, words_fingerprint
from .query_files import query_table, table_files
from .table_blocks import asked_rows
from .table_rows import read_table
from .vector_files import vector_blocks

if TYPE_CHECKING:
    from lookalike.model.encoder.bundle import Encoder
    from lookalike.model.text.encoder import TextEncoder

logger = logging.getLogger(__name__)


def tuning_queries(config: Config) -> AskedQueries | None:
    """What `index.tuning_queries` names; None where it is not set.

    Raises:
        LookalikeError: if it names nothing.
        OSError: if it cannot be read.
    """
    path = config.index.tuning_queries
    if path is None:
        return None
    listed = files.list_files(path) if files.is_folder(path) else files.glob(path)
    if not listed:
        raise LookalikeError(f"index.tuning_queries: expected queries. Received: the empty folder {path}")
    digest = sha256_json([files.sha256(file.path) for file in listed])
    if words := words_fingerprint(config, path):
        digest = sha256_json([digest, words])
    return AskedQueries(digest, functools.partial(_vectors, config, path))


def _vectors(config: Config, path: str, plan: Plan) -> np.ndarray:
    """The vectors of queries of any kind, float32 (q, dim); the log tells how many have none.

    Raises:
        LookalikeError: if none has one.
        OSError: if they cannot be read.
    """
    found: list[np.ndarray] = []
    failed = 0
    for block in _blocks(config, path, plan):
        found.append(block.vectors)
        failed += len(block.failures)
    if not sum(map(len, found)):
        raise LookalikeError(
            f"index.tuning_queries: expected queries that can be asked. Received: {path}, where all {failed:,} fail"
        )
    if failed:
        logger.warning("index.tuning_queries: %s queries of %s cannot be asked", f"{failed:,}", path)
    return np.concatenate(found)


def _blocks(config: Config, path: str, plan: Plan) -> Iterator[Block]:
    """The queries; no picture of them is decoded in this process, which would end every night at the same one."""
    kind = kind_of(path)
    if kind == "vectors":
        return vector_blocks(table_files(path), plan.dim, config.metric, plan.fingerprint)
    if kind == "ids":
        return _of_items(config, plan, ((names, failures) for names, _, failures in text_ids(path)))
    if kind == "images":
        open_encoder = functools.partial(_encoder, config)
        return image_blocks(path, config.corpus, config.metric, open_encoder, suspect=True)
    table = query_table(path)
    words = _text_encoder(config, plan) if table.has_text else None
    size = IMAGE_BLOCK if table.has_pictures else BLOCK
    rows = read_table(table, size, plan.dim, plan.fingerprint, words)
    if table.content == "item_id":
        return _of_items(config, plan, map(_named_items, rows))
    return asked_rows(
        rows,
        functools.partial(_encoder, config) if table.has_pictures else None,
        query_options(config.corpus),
        config.query.combine,
        config.metric,
        suspect=True,
    )


def _text_encoder(config: Config, plan: Plan) -> TextEncoder:
    from lookalike.model.text.encoder import TextEncoder

    return TextEncoder.load(config.encoder, plan.fingerprint)


def _encoder(config: Config) -> Encoder:
    from lookalike.model.encoder.bundle import Encoder

    return Encoder.load(config.encoder, max_pixels=config.corpus.max_pixels)


def _named_items(rows: pa.Table) -> tuple[list[str], list[Failure]]:
    """The items that rows of a query table ask with, and the rows that name none."""
    told = zip(*(rows.column(number).to_pylist() for number in (1, 0, 4, 5)), strict=True)
    return rows.column(2).drop_null().to_pylist(), [Failure(*row) for row in told if row[2]]


def _of_items(
    config: Config, plan: Plan, asked: Iterable[tuple[list[str], list[Failure]]]
) -> Iterator[Block]:
    """Vectors of items by their ids, from the embedding files: the index that has them is not built yet."""
    wanted: list[str] = []
    unreadable: list[Failure] = []
    for names, failures in asked:
        wanted += names
        unreadable += failures
    left = pa.array(dict.fromkeys(wanted), pa.string())
    for note in plan.notes:
        place = files.join(config.store, note.path)
        with files.open_read(place) as file, damage_named(place):
            parquet = pq.ParquetFile(file)
            hits = pc.is_in(parquet.read(columns=["item_id"])["item_id"], left)
            if not pc.any(hits).as_py():
                continue
            table = parquet.read(columns=["item_id", "embedding"]).filter(hits)
        left = left.filter(pc.invert(pc.is_in(left, table["item_id"])))
        embedding = table["embedding"].combine_chunks()
        vectors = embedding.flatten().to_numpy().reshape(-1, plan.dim)
        yield Block(table["item_id"].to_pylist(), vectors, np.arange(len(vectors)))
    missing = [Failure(0, name, "lookup", "no item has this id") for name in left.to_pylist()]
    yield Block([], np.empty((0, plan.dim), np.float32), np.empty(0, np.int64), unreadable + missing)
