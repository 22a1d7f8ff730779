"""How many pictures are looked at: of more near pairs than that the nearest, and a sample of the others.

The more pictures a catalogue has, the nearer is to each what is no copy of it. So pairs are compared from the nearest
on, up to a number that bounds the time; and some of the others, drawn by a hash, tell how many copies they hold.

Makes of `near_pairs` one that has only these, and `sampled` (one, other), the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from .run import Run, number_of

SAMPLED = 1000
"""Pairs that are drawn from the others: with none of them a copy, less than 0.3 % are (95 % confidence)."""


@dataclass(frozen=True)
class Others:
    """The near pairs that are not looked at.

    Attributes:
        pairs: how many, those that were drawn among them.
        sampled: how many were drawn.
        near: no pair of them is nearer; None where there are none.
    """

    pairs: int = 0
    sampled: int = 0
    near: float | None = None


def limit(run: Run, most: int) -> Others:
    """Leaves the `most` nearest pairs, ties by their numbers, and a sample of the others in `near_pairs`."""
    connection = run.connection
    connection.execute("CREATE TABLE sampled (one BIGINT, other BIGINT)")
    pairs = number_of(connection, "SELECT count(*) FROM near_pairs") - most
    if pairs <= 0:
        return Others()
    connection.execute(
        f"CREATE TABLE others AS FROM near_pairs ORDER BY near DESC, one, other LIMIT {pairs} OFFSET {most}"
    )
    connection.execute(
        "INSERT INTO sampled SELECT one, other FROM others "
        f"ORDER BY md5(concat(one, ' ', other)), one, other LIMIT {SAMPLED}"
    )
    near = connection.execute("SELECT max(near) FROM others").fetchall()[0][0]
    connection.execute(
        "CREATE OR REPLACE TABLE near_pairs AS FROM near_pairs ANTI JOIN "
        "(SELECT one, other FROM others ANTI JOIN sampled USING (one, other)) USING (one, other)"
    )
    connection.execute("DROP TABLE others")
    return Others(pairs, min(pairs, SAMPLED), float(near))


def missed(run: Run, others: Others) -> int:
    """About how many copies are among the others and were not seen, told from those of the sample in `copies`."""
    if not others.sampled:
        return 0
    seen = number_of(run.connection, "SELECT count(*) FROM sampled SEMI JOIN copies USING (one, other)")
    return round(seen * (others.pairs - others.sampled) / others.sampled)
