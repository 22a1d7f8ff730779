"""What embedding files and the listing of a corpus say of the items that may be in a group.

Makes the table `items`: side, item, vector, item_id, field, shard, place, content_hash, width, height, changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..filesystem import files
from ..index.embeddings import open_parquet, rows_of
from ..sources import Shard, find_shards
from ..sources.fields import escape
from ..sources.roots import relative_path
from ..sources.types import arrow_type
from ..store import generations
from ..store.database import take_rows
from ..store.notes import EmbeddedShard
from .catalogues import Catalogue, NumberedShard, items_behind
from .keeping import Keeper
from .run import Run

_FACTS = pa.schema(
    [
        ("shard", pa.int64()),
        ("place", pa.int64()),
        ("item_id", pa.string()),
        ("content_hash", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
_AGES = pa.schema(
    [("side", pa.int8()), ("shard", pa.int64()), ("item_id", pa.string()), ("changed", pa.int64())]
)


class Corpus:
    """The image shards of a catalogue, as they were embedded and as they are listed now.

    Args:
        catalogue: whose.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    @cached_property
    def notes(self) -> Sequence[EmbeddedShard]:
        """Of all image shards, in the order of the corpus."""
        return generations.served_notes(self.catalogue.config.store, self.catalogue.generation)

    @cached_property
    def listed(self) -> Mapping[str, Shard]:
        """Name -> image shard as it is now. Raises LookalikeError if there is none, OSError."""
        corpus = self.catalogue.config.corpus
        return {shard.name: shard for shard in find_shards(corpus.shards, corpus.source_options())}


def make_items(
    run: Run, corpora: Sequence[Corpus], shards: Sequence[NumberedShard], paired: np.ndarray, rule: Keeper
) -> None:
    """Makes the table `items` of those behind the vectors `paired`, and behind vectors that have several.

    Raises:
        LookalikeError: if a file is damaged.
        OSError: if one cannot be read.
    """
    connection = run.connection
    metadata = corpora[-1].catalogue.generation.metadata
    field = pa.field(rule.field, arrow_type(metadata[rule.field])) if rule.field else None
    found = items_behind(shards, [corpus.catalogue.excluded for corpus in corpora], paired, field)
    for number, table in enumerate(found):
        if rule.field and pa.types.is_floating(table["field"].type):
            table = table.set_column(
                table.column_names.index("field"),
                "field",
                pc.if_else(pc.is_nan(table["field"]), None, table["field"]),
            )
        connection.register("of_shard", table)
        connection.execute(
            "INSERT INTO candidates FROM of_shard" if number else "CREATE TABLE candidates AS FROM of_shard"
        )
        connection.unregister("of_shard")
    connection.execute(
        "CREATE TABLE facts (item BIGINT, shard BIGINT, place BIGINT, content_hash TEXT, width INT, height INT)"
    )
    for side, corpus in enumerate(corpora):
        take_rows(
            connection,
            "INSERT INTO facts SELECT item, shard, place, content_hash, width, height FROM batches "
            f"JOIN candidates USING (item_id) WHERE side = {side}",
            _FACTS,
            _facts(corpus),
        )
    connection.execute("CREATE TABLE ages (side TINYINT, shard BIGINT, item_id TEXT, changed BIGINT)")
    if rule.needs_age:
        for side, corpus in enumerate(corpora):
            take_rows(connection, "INSERT INTO ages FROM batches", _AGES, _ages(corpus, side))
    # Of an id in several image shards the first one's record is served.
    connection.execute(
        "CREATE TABLE items AS SELECT candidates.*, facts.* EXCLUDE item, ages.changed FROM candidates "
        "JOIN (SELECT DISTINCT ON (item) * FROM facts ORDER BY item, shard, place) AS facts USING (item) "
        "LEFT JOIN ages ON ages.side = candidates.side AND ages.shard = facts.shard "
        "AND (ages.item_id IS NULL OR ages.item_id = candidates.item_id)"
    )


def _facts(corpus: Corpus) -> Iterator[pa.RecordBatch]:
    columns = _FACTS.names[2:]
    for shard, note in enumerate(corpus.notes):
        path, place = files.join(corpus.catalogue.config.store, note.path), 0
        with files.open_read(path) as file:
            for batch in rows_of(open_parquet(file, path), path, columns):
                places = pa.array(np.arange(place, place + len(batch)))
                numbers: Any = pa.array(np.full(len(batch), shard))
                yield pa.record_batch([numbers, places, *(batch[name] for name in columns)], schema=_FACTS)
                place += len(batch)


def _ages(corpus: Corpus, side: int) -> Iterator[pa.RecordBatch]:
    """When image shards changed last; of a folder of images, when each of its files did."""
    for number, note in enumerate(corpus.notes):
        shard = corpus.listed.get(note.shard)
        if shard is None:
            continue
        rows = [
            {
                "side": side,
                "shard": number,
                "item_id": escape(relative_path(shard.root, file.path)) if shard.format == "folder" else None,
                "changed": _nanoseconds(file.modified),
            }
            for file in shard.files
        ]
        yield pa.RecordBatch.from_pylist(rows, _AGES)


def _nanoseconds(modified: str) -> int:
    """When a file changed, since 1970; object stores tell it in seconds, with a point."""
    return int(float(modified) * 1e9) if "." in modified else int(modified)
