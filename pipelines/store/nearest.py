"""What an id that nobody has was meant to be: the nearest of those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from .database import database

_COMPARISONS = 20_000_000
"""Pairs of which each is looked at: some seconds."""
# A macro cannot hold a join; what is folded is kept, since every later step asks for it. Distances are of bytes, of
# which most letters have up to three; those of `plain` texts are of letters, and right or too small. A pair whose order
# is changed is two edits to the distance that takes a tenth of the time.
_TABLES = r"""
CREATE MACRO seen(id) AS regexp_replace(id, '[\x{200B}-\x{200F}\x{FEFF}]', '', 'g');
CREATE MACRO folded(id) AS
    lower(nfc_normalize(trim(seen(replace(id, '\', '/')), E' \t\r\n"''')));
CREATE MACRO path(id) AS regexp_replace(strip_accents(id), '^(\./|/)+', '');
CREATE MACRO name(id) AS regexp_extract(path(id), '[^/]*$');
CREATE MACRO stem(id) AS regexp_replace(path(id), '\.[^./]*$', '');
CREATE MACRO plain(id) AS regexp_replace(id, '[^ -~]', '?', 'g');
CREATE TABLE asked AS SELECT id, folded(id) AS folded, plain(folded) AS plain FROM given;
CREATE TABLE held AS SELECT id, folded(id) AS folded, plain(folded) AS plain FROM known;
"""
_STEPS = (
    "SELECT a.id, min(h.id) FROM asked a JOIN held h USING (folded) GROUP BY ALL",
    "SELECT a.id, min(h.id) FROM asked a JOIN held h ON path(a.folded) = path(h.folded) GROUP BY ALL",
    "SELECT a.id, min(h.id) FROM asked a JOIN held h ON stem(a.folded) = stem(h.folded) GROUP BY ALL",
    """
    SELECT a.id, min(h.id) FROM (FROM asked ORDER BY id LIMIT $most) a JOIN held h ON name(a.folded) = name(h.folded)
    WHERE ends_with(path(a.folded), '/' || path(h.folded)) OR ends_with(path(h.folded), '/' || path(a.folded))
    GROUP BY ALL
    """,
    """
    SELECT id, arg_min(held, (distance, held)) FROM (
        SELECT a.id, h.id AS held,
            CASE WHEN levenshtein(a.plain, h.plain) <= 2 * a.most
                THEN damerau_levenshtein(a.plain, h.plain) END AS letters,
            CASE WHEN letters <= a.most THEN damerau_levenshtein(a.folded, h.folded) END AS distance
        FROM (SELECT *, least(2, length(id) // 4) AS most FROM asked ORDER BY id LIMIT $most) a
        JOIN held h ON abs(length(a.folded) - length(h.folded)) <= 2
        WHERE distance <= 3 * a.most
    ) GROUP BY id
    """,
)
"""Alike but for case, how accents are encoded, slashes, quotes, outer spaces and marks that nobody sees; but for
accents or a slash or `./` in front; but for the extension; but for folders before one of them; but for two letters."""


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
