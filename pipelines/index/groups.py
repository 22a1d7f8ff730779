"""At most so many matches of one group of items: those that have the same value of a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Grouping:
    """A limit to the matches that have the same value.

    An item without a value is a group of its own: nothing says that it belongs to another one.

    Attributes:
        field: of the metadata, or `item_id`.
        per_group: the most matches of one value.
    """

    field: str
    per_group: int


def codes_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A number for each value, equal where values are, and of its own for each null: int64 (n,)."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    codes = whole.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(codes < 0, -1 - np.arange(len(codes)), codes)


def texts_of(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Values as the text by which a query names a group."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(pa.string())


def first_of_groups(codes: np.ndarray, per_group: int) -> np.ndarray:
    """Which are among the first `per_group` of their code in a row: int64 (q, w) -> bool (q, w)."""
    order = np.argsort(codes, axis=1, kind="stable")
    in_order = np.take_along_axis(codes, order, axis=1)
    place = np.broadcast_to(np.arange(codes.shape[1]), codes.shape)
    begins = np.ones(codes.shape, bool)
    begins[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    since = place - np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    kept = np.empty(codes.shape, bool)
    np.put_along_axis(kept, order, since < per_group, axis=1)
    return kept


def first_in_runs(runs: np.ndarray, codes: np.ndarray, per_group: int) -> np.ndarray:
    """The same where rows are of any length: int64 (n,), which row each is of, and its code -> bool (n,)."""
    order = np.lexsort((np.arange(len(codes)), codes, runs))
    in_order, of_run = codes[order], runs[order]
    place = np.arange(len(codes))
    begins = np.ones(len(codes), bool)
    begins[1:] = (in_order[1:] != in_order[:-1]) | (of_run[1:] != of_run[:-1])
    kept = np.empty(len(codes), bool)
    kept[order] = place - np.maximum.accumulate(np.where(begins, place, 0)) < per_group
    return kept


class Groups:
    """The groups of the items of one index shard.

    Args:
        column: of their values.
        per_group: see `Grouping`.

    Attributes:
        codes: int64 (items,), from 0 up to `count`; nulls have one each.
        count: of the groups.
    """

    def __init__(self, column: pa.ChunkedArray, per_group: int) -> None:
        codes = codes_of(column)
        nulls = codes < 0
        known = int(codes.max(initial=-1)) + 1
        self.codes = codes
        self.codes[nulls] = known + np.arange(np.count_nonzero(nulls))
        self.count = known + int(np.count_nonzero(nulls))
        self.per_group = per_group

    def first_of_vectors(self, offsets: np.ndarray, appears: np.ndarray, skips: bool) -> np.ndarray:
        """The items that can be matches beside the other items of their vector: bool (items,).

        Of a group the first `per_group` can, and one more where a query may skip one of them.

        Args:
            offsets: see `IndexShard.offsets`.
            appears: bool (items,), what does not appear takes no place.
        """
        vector = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        rows = np.flatnonzero(appears)
        can = np.zeros(len(appears), bool)
        can[rows] = first_in_runs(vector[rows], self.codes[rows], self.per_group + skips)
        return can
