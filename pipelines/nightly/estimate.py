"""What a night would take of machines, memory, disk and an object store, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lookalike.model.memory import memory

from ..config.job import Config, Prices
from ..filesystem import files
from ..index.sizing import memory_of
from .rates import Rates

_EMBEDDING_MEMORY = 730 << 20
_MORE_THREADS = 350 << 20
_RARE_PICTURES = 1 << 30
"""What a worker takes to embed with two threads, for each further one, and at most for pictures of rare kinds: as
measured for docs/operations.md."""
_EMBEDDING_FILE, _INDEX = (4.0, 50), (4.5, 20)
"""Bytes of an embedding file and of an index shard for each number of a vector, and for each vector beside them: of
24,064 photographs and 256 dimensions 1,070 and 1,168 a vector. Metadata comes on top."""
_READS, _WRITES = 10, 6
"""Requests for each image shard that is embedded, counted on a server of the tests; see `Estimate.reads`."""
_CHECKS, _READS_TO_INDEX = 2, 1
"""Requests to check an embedding file and its rejects, and to read it into its index shard."""


@dataclass(frozen=True)
class Estimate:
    """What a night would take, if all images that are read are new.

    Attributes:
        rates: what is known of one image.
        threads: of a worker.
        worker_seconds: of one worker that embeds alone.
        embedding_memory: bytes a worker, for photographs.
        rare_memory: bytes that rare pictures may take beside.
        index_memory: bytes that a worker takes to build an index shard, at most if all are about as large.
        index_limit: bytes that it has: `index.worker_memory`, else what this process may use.
        embedding_bytes, index_bytes: what is stored more afterwards.
        reads, writes: requests to an object store; None if the store is on a disk.
        cost: what has a price -> the sum.
        currency: of the sums.
    """

    rates: Rates
    threads: int
    worker_seconds: float
    embedding_memory: int
    rare_memory: int
    index_memory: int
    index_limit: int
    embedding_bytes: int
    index_bytes: int
    reads: int | None
    writes: int | None
    cost: dict[str, float]
    currency: str


@dataclass(frozen=True)
class Work:
    """How much there is to do.

    Attributes:
        shards: image shards to read.
        images: that they hold, about.
        stored: image shards that are embedded already.
        vectors: to index, in all.
        indexes: index shards, in all.
        rebuilt: those of them that are to be built.
        dim: length of a vector.
    """

    shards: int
    images: int
    stored: int
    vectors: int
    indexes: int
    rebuilt: int
    dim: int


def estimate(config: Config, work: Work, rates: Rates, threads: int) -> Estimate:
    """What so much work takes by these rates.

    Args:
        config: the job.
        work: how much there is.
        rates: what is known of one image.
        threads: of a worker.
    """
    seconds = work.images * rates.seconds / threads
    embedding_bytes = work.images * _bytes(_EMBEDDING_FILE, work.dim)
    index_bytes = math.ceil(work.vectors * work.rebuilt / work.indexes) * _bytes(_INDEX, work.dim)
    reads = writes = None
    if files.is_remote(config.store):
        reads = _READS * work.shards
        if work.rebuilt:
            checked = work.shards + (work.stored if config.gates.digests == "all" else 0)
            reads += _CHECKS * checked + _READS_TO_INDEX * (work.stored + work.shards)
        writes = _WRITES * work.shards
    return Estimate(
        rates=rates,
        threads=threads,
        worker_seconds=seconds,
        embedding_memory=_EMBEDDING_MEMORY + _MORE_THREADS * max(0, threads - 2),
        rare_memory=_RARE_PICTURES,
        index_memory=memory_of(math.ceil(work.vectors / work.indexes), work.dim),
        index_limit=config.index.worker_memory or memory(),
        embedding_bytes=embedding_bytes,
        index_bytes=index_bytes,
        reads=reads,
        writes=writes,
        cost=dict(_cost(config.prices, seconds, embedding_bytes + index_bytes, reads, writes)),
        currency=config.prices.currency,
    )


def _bytes(of: tuple[float, int], dim: int) -> int:
    return round(of[0] * dim) + of[1]


def _cost(
    prices: Prices, seconds: float, stored: int, reads: int | None, writes: int | None
) -> Iterator[tuple[str, float]]:
    if prices.worker_hour is not None:
        yield "embedding", seconds / 3600 * prices.worker_hour
    requests = 0.0
    for count, price in ((reads, prices.million_reads), (writes, prices.million_writes)):
        requests += (count or 0) / 1e6 * (price or 0.0)
    if reads is not None and (prices.million_reads is not None or prices.million_writes is not None):
        yield "requests", requests
    if prices.gigabyte_month is not None:
        yield "a month of storage", stored / 1e9 * prices.gigabyte_month


def estimate_lines(found: Estimate) -> Iterator[str]:
    """The same as text."""
    hours = found.worker_seconds / 3600
    yield (
        f"time         about {_clock(found.worker_seconds)} for embedding on one worker of {found.threads} threads, "
        f"if all images are new: {hours:,.2f} worker-hours, by {found.rates.told_by}"
    )
    yield (
        f"memory       a worker takes about {_gib(found.embedding_memory)} to embed, for rare pictures up to "
        f"{_gib(found.rare_memory)} more, and {_gib(found.index_memory)} to build an index shard"
    )
    if found.index_memory > found.index_limit:
        yield (
            f"TOO LARGE    index shards will be refused: index.worker_memory, or this machine, has "
            f"{_gib(found.index_limit)}; lower index.shard_vectors, or build them where there is more"
        )
    yield (
        f"disk         about {found.embedding_bytes / 1e9:,.2f} GB of embedding files and "
        f"{found.index_bytes / 1e9:,.2f} GB of index, without metadata"
    )
    if found.reads is not None:
        yield f"requests     about {found.reads:,} that read and {found.writes:,} that write"
    if found.cost:
        parts = ", ".join(f"{what} {amount:,.2f}" for what, amount in found.cost.items())
        yield f"cost         about {sum(found.cost.values()):,.2f} {found.currency}".rstrip() + f": {parts}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"
