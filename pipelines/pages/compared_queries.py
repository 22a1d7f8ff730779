"""The queries of an evaluation by what each of one or two encoders found for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ONLY_SECOND, ONLY_FIRST, NEITHER, BOTH = "only-second", "only-first", "neither", "both"
_ORDER = "map"
COLUMNS = ("job", "setup", "query_id", _ORDER, "top", "top_grades")
"""Of the table of queries, that are read."""


@dataclass(frozen=True)
class ComparedQueries:
    """Queries that all sides measured.

    Attributes:
        counts: name of a section -> queries in it; none is in two.
        sections: name -> the rows of those that are shown, one of each side.
    """

    counts: Mapping[str, int]
    sections: Mapping[str, Sequence[tuple[dict[str, Any], ...]]]


def compare(sides: Sequence[pa.Table], most: int) -> ComparedQueries:
    """Sorts queries by whose first match is relevant, and takes the most telling of each kind.

    Where only one side finds, the greatest difference in average precision comes first; where none or both do, the
    least average precision.

    Args:
        sides: rows of `COLUMNS`, of one or two jobs.
        most: queries in all sections together.
    """
    first = sides[0]
    if len(sides) > 1:
        places = pc.index_in(first["query_id"], sides[1]["query_id"])
        sides = [first.filter(pc.is_valid(places)), sides[1].take(places.drop_null())]
    right = np.array([_first_is_right(side) for side in sides], bool).reshape(len(sides), -1)
    order = np.array([side[_ORDER].to_numpy() for side in sides]).reshape(len(sides), -1)
    lead = np.abs(order[0] - order[-1])
    kinds: dict[str, tuple[np.ndarray, np.ndarray]] = {
        NEITHER: (~right.any(axis=0), order.max(axis=0)),
        BOTH: (right.all(axis=0), order.min(axis=0)),
    }
    if len(sides) > 1:
        kinds = {
            ONLY_SECOND: (right[1] & ~right[0], -lead),
            ONLY_FIRST: (right[0] & ~right[1], -lead),
            **kinds,
        }
    counts: dict[str, int] = {}
    sections: dict[str, list[tuple[dict[str, Any], ...]]] = {}
    room = most
    for number, (name, (is_so, key)) in enumerate(kinds.items()):
        found = np.flatnonzero(is_so)
        counts[name] = len(found)
        # What comes later has its share, too.
        share = max(1, room // (len(kinds) - number)) if room else 0
        chosen = pa.array(found[np.argsort(key[found], kind="stable")][:share])
        room -= len(chosen)
        sections[name] = list(zip(*(side.take(chosen).to_pylist() for side in sides), strict=True))
    return ComparedQueries(counts, sections)


def _first_is_right(side: pa.Table) -> list[bool]:
    return [bool(grades) and grades[0] > 0 for grades in side["top_grades"].to_pylist()]
