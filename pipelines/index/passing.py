"""Which items of an index shard the filters of queries let pass; a filter is evaluated once for a shard."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from .conditions import WHERE
from .filters import Filter, opened_items, read_filter
from .shard import IndexShard

_KEPT_BYTES = 1 << 26


@dataclass(frozen=True)
class _Asked:
    """A filter, and what is in the query's columns that it looks at."""

    text: str
    values: tuple[str, ...]


_KEPT: WeakKeyDictionary[IndexShard, OrderedDict[_Asked, np.ndarray]] = WeakKeyDictionary()
"""For each open shard a bit an item, of the filters that were asked last. Several threads may ask one shard."""
_FORGETTING = threading.Lock()


def by_filter(
    shard: IndexShard, where: str | None, columns: pa.Table | None, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Queries for which the same items pass, together.

    Args:
        shard: whose items.
        where: a filter for all queries; None for none.
        columns: of the queries, a row for each, `where` among them if each has a filter of its own; None for none.
        count: number of the queries.

    Yields:
        int64 (m,), positions of queries, and bool (items,), which items pass; None for all.

    Raises:
        LookalikeError: for what is no filter over these columns.
    """
    own = columns[WHERE] if columns is not None and WHERE in columns.column_names else None
    if where is None and (own is None or own.null_count == count):
        yield np.arange(count), None
        return
    texts = [None] * count if own is None else own.to_pylist()
    if columns is not None and own is not None:
        columns = columns.drop_columns([WHERE])
    schema = None if columns is None else columns.schema
    distinct = {text for text in (where, *texts) if text is not None}
    filters = {text: read_filter(text, shard.items.schema, schema) for text in sorted(distinct)}
    together = _together(
        [[one for one in (where, text) if one is not None] for text in texts], filters, columns
    )
    with contextlib.ExitStack() as stack:
        passing: Callable[[Filter, pa.Table | None], np.ndarray] | None = None
        kept = _KEPT.setdefault(shard, OrderedDict())
        for asked, positions in together.items():
            passes = np.ones(len(shard.items), bool) if asked else None
            for one in asked:
                bits = kept.pop(one, None)
                if bits is None:
                    passing = passing or stack.enter_context(
                        opened_items(shard.items, list(filters.values()))
                    )
                    row = None if columns is None else columns.slice(positions[0], 1)
                    found = np.zeros(len(shard.items), bool)
                    found[passing(filters[one.text], row)] = True
                    bits = np.packbits(found)
                kept[one] = bits  # at the end, as what was asked last
                passes &= np.unpackbits(bits, count=len(shard.items)).astype(bool)
            with _FORGETTING:
                while len(kept) > 1 and len(kept) * len(shard.items) > 8 * _KEPT_BYTES:
                    kept.popitem(last=False)
            yield np.array(positions), passes


def _together(
    texts: list[list[str]], filters: Mapping[str, Filter], columns: pa.Table | None
) -> dict[tuple[_Asked, ...], list[int]]:
    """What is asked -> positions of the queries that ask it; `texts` are the filters of each query."""
    named = sorted({name for read in filters.values() for name in read.of_query})
    values = (
        {name: list(map(repr, columns[name].to_pylist())) for name in named} if columns is not None else {}
    )
    together: dict[tuple[_Asked, ...], list[int]] = {}
    for position, of_query in enumerate(texts):
        asked = tuple(
            _Asked(text, tuple(values[name][position] for name in filters[text].of_query))
            for text in of_query
        )
        together.setdefault(asked, []).append(position)
    return together
