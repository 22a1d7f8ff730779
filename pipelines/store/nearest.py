"""What an id that nobody has was meant to be: the nearest of those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from .database import database

_COMPARISONS = 20_000_000
"""Pairs whose spelling is compared: some seconds."""
# A macro cannot hold a join; what is folded is kept, since every later step asks for it.
_TABLES = r"""
CREATE MACRO folded(id) AS
    lower(nfc_normalize(trim(replace(id, '\', '/'), E' \t\r\n"''')));
CREATE MACRO stem(id) AS regexp_replace(id, '\.[^./]*$', '');
CREATE TABLE asked AS SELECT id, folded(id) AS folded FROM given;
CREATE TABLE held AS SELECT id, folded(id) AS folded FROM known;
"""
_STEPS = (
    "SELECT a.id, min(h.id) FROM asked a JOIN held h USING (folded) GROUP BY ALL",
    "SELECT a.id, min(h.id) FROM asked a JOIN held h ON stem(a.folded) = stem(h.folded) GROUP BY ALL",
    """
    SELECT id, arg_min(held, (distance, held)) FROM (
        SELECT a.id, h.id AS held, damerau_levenshtein(a.folded, h.folded) AS distance
        FROM (FROM asked ORDER BY id LIMIT $most) a
        JOIN held h ON abs(length(a.folded) - length(h.folded)) <= 2
        WHERE distance <= least(2, length(a.folded) // 4)
    ) GROUP BY id
    """,
)
"""Alike but for case, the encoding of accents, slashes, quotes and outer spaces; but for the extension; or for two
letters."""


def nearest(ids: Sequence[str], known: Iterable[pa.ChunkedArray]) -> dict[str, str]:
    """The nearest id that is there for each of those that are not, where there is one that is alike.

    Args:
        ids: what was asked for.
        known: ids that are there.
    """
    given = pa.table({"id": pa.array(list(dict.fromkeys(ids)), pa.string())})
    chunks = [chunk for array in known for chunk in array.chunks]
    held = pa.table({"id": pa.chunked_array(chunks, pa.string())})
    found: dict[str, str] = {}
    with database(None) as connection:
        connection.register("given", given)
        connection.register("known", held)
        connection.execute(_TABLES)
        for step in _STEPS:
            most = {"most": _COMPARISONS // max(1, len(held))} if "$most" in step else {}
            found.update(connection.execute(step, most).fetchall())
            connection.execute("DELETE FROM asked WHERE id IN (SELECT unnest($done))", {"done": list(found)})
    return found
