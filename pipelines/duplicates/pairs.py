"""Pairs that may be copies, and those that are: by the nearness of their vectors, and by a look at both pictures.

Makes the tables `near_pairs` (one, other: numbers of vectors; near) and, of those that are taken for copies, `copies`
(the same and correlation, null where nobody had to look).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..filesystem import files
from ..index.pieces import write_ids
from ..store.database import take_rows
from .catalogues import Catalogue, NumberedShard
from .checking import CHECKED_AT_ONCE, CORRELATIONS, CheckPairs, write_pairs
from .facts import Corpus
from .neighbours import LOOKED_AT, PAIRS, Block, FindNeighbours, Nearness, blocks_of
from .run import Run, number_of, read_files, rows_of
from .thumbnails import ImageShard, MakeThumbnails

IDENTICAL = 1e-4
"""Of cosines below 1: pictures that are nearer than that may be equal in all their pixels."""
_LOOKS = pa.schema([("picture", pa.binary())])
_PLACES = pa.schema([("item", pa.int64()), ("look", pa.int64()), ("pixels", pa.string())])


def make_near_pairs(
    run: Run, catalogues: Sequence[Catalogue], shards: Sequence[NumberedShard], wanted: Nearness
) -> None:
    """Makes `near_pairs`.

    Raises:
        LookalikeError: if the index is damaged.
        OSError: if a file cannot be read or written.
    """
    excluded = []
    for side, catalogue in enumerate(catalogues):
        excluded.append(files.join(run.folder, f"excluded-{side}.arrow"))
        write_ids(excluded[-1], catalogue.excluded)
    memory = catalogues[0].config.query.memory
    work_on = FindNeighbours(run.folder, tuple(shards), tuple(excluded), wanted, memory)
    blocks = blocks_of(shards)
    asked = sum(block.stop - block.start for block in blocks)
    targets = sum(one.side == len(catalogues) - 1 for one in shards)
    run.work(
        "neighbours",
        work_on,
        (block.to_json() for block in blocks),
        len(blocks),
        Block.from_json,
        asked * targets,
        "vectors",
    )
    connection = run.connection
    connection.execute("CREATE TABLE directed (asked BIGINT, found BIGINT, near FLOAT)")
    take_rows(connection, "INSERT INTO directed FROM batches", PAIRS, read_files(run.folder, "pairs"))
    # Of one index shard, no vector has more than LOOKED_AT below `copies`; of all together, neither.
    connection.execute(
        "CREATE TABLE near_pairs AS SELECT least(asked, found) AS one, greatest(asked, found) AS other, "
        f"max(near) AS near FROM (FROM directed QUALIFY near >= {wanted.copies!r}::FLOAT "
        f"OR row_number() OVER (PARTITION BY asked ORDER BY near DESC, found) <= {LOOKED_AT}) GROUP BY ALL"
    )
    connection.execute("DROP TABLE directed")


def paired_vectors(run: Run) -> np.ndarray:
    """The numbers of the vectors in `near_pairs`, int64, ascending."""
    found = run.connection.execute("SELECT one FROM near_pairs UNION SELECT other FROM near_pairs ORDER BY 1")
    return np.asarray(found.fetchnumpy()["one"], np.int64)


def accept_all(run: Run) -> None:
    """Takes all near pairs for copies."""
    run.connection.execute("CREATE TABLE copies AS SELECT *, NULL::FLOAT AS correlation FROM near_pairs")
    run.connection.execute("CREATE TABLE looks (item BIGINT, look BIGINT, pixels TEXT)")


def add_all(run: Run) -> None:
    """Takes all pairs of the table `beyond` for copies too."""
    run.connection.execute("INSERT INTO copies SELECT *, NULL FROM beyond")


def look_at(run: Run, corpora: Sequence[Corpus]) -> np.ndarray:
    """Compares the pictures of all near pairs: makes `looks` (item, look, pixels), `looked_at` and `correlations`.

    Returns:
        Correlations of the pairs whose bytes are not equal, float32 (pairs,).

    Raises:
        LookalikeError: if the corpus is gone.
        OSError: if a file cannot be read or written.
    """
    _read_pictures(run, corpora)
    connection = run.connection
    connection.execute(
        "CREATE TABLE faces AS SELECT vector, arg_min(look, item_id) AS look, "
        "arg_min(content_hash, item_id) AS content_hash FROM items JOIN looks USING (item) GROUP BY vector"
    )
    connection.execute(
        "CREATE TABLE looked_at (one BIGINT, other BIGINT, near FLOAT, a BIGINT, b BIGINT, equal BOOLEAN)"
    )
    connection.execute("CREATE TABLE correlations (a BIGINT, b BIGINT, correlation FLOAT)")
    compare(run, "near_pairs")
    return np.asarray(connection.execute("SELECT correlation FROM correlations").fetchnumpy()["correlation"])


def compare(run: Run, pairs: str) -> None:
    """Compares the pictures of the pairs of a table (one, other, near): adds to `looked_at` and `correlations`."""
    connection = run.connection
    connection.execute(
        "INSERT INTO looked_at SELECT pairs.one, pairs.other, pairs.near, a.look, b.look, "
        f"a.content_hash = b.content_hash FROM {pairs} AS pairs "
        "JOIN faces AS a ON pairs.one = a.vector JOIN faces AS b ON pairs.other = b.vector"
    )
    rows = rows_of(
        connection,
        "SELECT a, b FROM looked_at ANTI JOIN correlations USING (a, b) WHERE NOT equal ORDER BY a, b",
    )
    count = number = 0
    for number, batch in enumerate(of_size(rows), 1):
        write_pairs(run.folder, number, *batch.columns)
        count += len(batch)
    run.work("comparing", CheckPairs(run.folder), range(1, number + 1), number, int, count, "pairs")
    take_rows(
        connection,
        "INSERT INTO correlations FROM batches",
        CORRELATIONS,
        read_files(run.folder, "correlations"),
    )
    files.delete(files.join(run.folder, done) for done in ("to-check", "correlations"))


def of_size(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `CHECKED_AT_ONCE`, the last one smaller, however they come."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += len(batch)
        while held >= CHECKED_AT_ONCE:
            table = pa.Table.from_batches(waiting).combine_chunks()
            yield from table.slice(0, CHECKED_AT_ONCE).combine_chunks().to_batches()
            rest = table.slice(CHECKED_AT_ONCE)
            waiting, held = rest.to_batches(), len(rest)
    if held:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()


def accept(run: Run, correlation: float) -> int:
    """Takes pairs for copies that correlate so well; gives the number of near pairs that could not be compared."""
    connection = run.connection
    connection.execute(
        "CREATE OR REPLACE TABLE copies AS "
        "SELECT one, other, near, CASE WHEN equal THEN 1 ELSE correlation END AS correlation "
        f"FROM looked_at LEFT JOIN correlations USING (a, b) WHERE equal OR correlation >= {correlation!r}::FLOAT"
    )
    return number_of(connection, "SELECT count(*) FROM near_pairs ANTI JOIN looked_at USING (one, other)")


def _read_pictures(run: Run, corpora: Sequence[Corpus]) -> None:
    connection = run.connection
    # One item's picture stands for all of its vector. All pixels are wanted where they may be the same.
    is_cosine = corpora[0].catalogue.generation.metric == "cosine"
    near = f"near >= {1 - IDENTICAL if is_cosine else -math.sqrt(2 * IDENTICAL)}"
    connection.execute(
        f"CREATE TABLE wanted AS WITH same AS (SELECT one AS vector FROM near_pairs WHERE {near} UNION "
        f"SELECT other FROM near_pairs WHERE {near}), paired AS (SELECT one AS vector FROM near_pairs UNION "
        "SELECT other FROM near_pairs), several AS (SELECT vector FROM items GROUP BY vector "
        "HAVING count(DISTINCT content_hash) > 1) "
        "SELECT side, shard, item, item_id, content_hash, "
        "(vector IN (FROM same) OR vector IN (FROM several)) AS pixels FROM items WHERE vector IN (FROM several) "
        "OR item IN (SELECT arg_min(item, item_id) FROM items WHERE vector IN (FROM paired) GROUP BY vector)"
    )
    rows = connection.execute("SELECT side, shard, count(*) FROM wanted GROUP BY ALL ORDER BY ALL").fetchall()
    places = [
        (side, shard) for side, shard, _ in rows if corpora[side].notes[shard].shard in corpora[side].listed
    ]
    work_on = MakeThumbnails(
        run.folder,
        tuple(corpus.catalogue.config.corpus.source_options() for corpus in corpora),
        tuple(corpus.catalogue.config.corpus.max_pixels for corpus in corpora),
    )
    images = sum(count for _, _, count in rows)
    elements = _image_shards(run, corpora, places)
    run.work("pictures", work_on, elements, len(places), ImageShard.from_json, images, "images")
    path, count = files.join(run.folder, "looks.arrow"), 0
    connection.execute("CREATE TABLE looks (item BIGINT, look BIGINT, pixels TEXT)")
    with files.write_atomic(path, lasting=False) as file, pa.ipc.new_file(file, _LOOKS) as writer:

        def placed() -> Iterator[pa.RecordBatch]:
            nonlocal count
            for batch in read_files(run.folder, "thumbnails"):
                writer.write_batch(pa.record_batch([batch["picture"]], schema=_LOOKS))
                numbers = pa.array(np.arange(count, count + len(batch)))
                yield pa.record_batch([batch["item"], numbers, batch["pixels"]], schema=_PLACES)
                count += len(batch)

        take_rows(connection, "INSERT INTO looks FROM batches", _PLACES, placed())
    files.delete([files.join(run.folder, "thumbnails")])


def _image_shards(run: Run, corpora: Sequence[Corpus], places: Sequence[tuple[int, int]]) -> Iterator[Any]:
    for number, (side, shard) in enumerate(places):
        rows = run.connection.execute(
            "SELECT item_id, item, content_hash, pixels FROM wanted WHERE side = ? AND shard = ? ORDER BY item",
            [side, shard],
        ).fetchall()
        listed = corpora[side].listed[corpora[side].notes[shard].shard]
        yield ImageShard(number, side, listed, {row[0]: row[1:] for row in rows}).to_json()
