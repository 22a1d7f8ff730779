"""What answers are held to besides being near: a filter, a threshold, groups, diversity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..config.job import Query
from ..sources.types import arrow_type, is_list
from ..store.index_manifest import ITEM_ID, Metric
from .filters import QUERY, read_filter
from .groups import Grouping

WHERE = "where"
"""The column of queries that holds a filter for each."""
_POOL = 5
"""Times k: the matches among which diversity chooses."""


@dataclass(frozen=True)
class Conditions:
    """Conditions on the answers to queries, in the order in which they take hold.

    Attributes:
        where: a filter in SQL (see `filters`) that every match passes.
        min_score: with metric cosine, the least score of a match.
        max_distance: with metric euclidean, the greatest score of a match.
        group_by: a field; of the items with one value of it at most `per_group` are matches of a query.
        per_group: at least 1.
        diversify: from 1, which changes nothing, to 0: see `diversity`.

    Raises:
        LookalikeError: for values out of these ranges.
    """

    where: str | None = None
    min_score: float | None = None
    max_distance: float | None = None
    group_by: str | None = None
    per_group: int = 1
    diversify: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.per_group, Integral):
            raise LookalikeError(f"Expected per_group, a whole number. Received: {self.per_group!r}")
        if self.per_group < 1 or (self.per_group > 1 and self.group_by is None):
            expected = "at least 1 match of a group" if self.group_by else "a field to group by (--group-by)"
            raise LookalikeError(f"Expected {expected}. Received: {self.per_group} matches of one")
        if self.diversify is not None and not 0 <= self.diversify <= 1:
            raise LookalikeError(f"Expected a diversity from 0 to 1. Received: {self.diversify}")
        for name, value in (("score", self.min_score), ("distance", self.max_distance)):
            if value is not None and not np.isfinite(value):
                raise LookalikeError(f"Expected a {name} that is a number. Received: {value}")

    @classmethod
    def of(cls, settings: Query, instead: Mapping[str, Any] | None = None) -> Conditions:
        """Those of a job file, replaced by what is not None."""
        given = {name: value for name, value in (instead or {}).items() if value is not None}
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)} | given)

    def check(self, metadata: Mapping[str, str], metric: Metric) -> None:
        """Checks them against what is served, before anything is searched.

        A filter that looks at columns of the queries is left to who reads them.

        Args:
            metadata: fields of the items, name -> type.
            metric: of the index.

        Raises:
            LookalikeError: naming what is not there, or not as it must be.
        """
        if self.min_score is not None and metric != "cosine":
            raise LookalikeError(
                "Expected a greatest distance (--max-distance, query.max_distance), as the metric is "
                f"{metric}. Received: a least score"
            )
        if self.max_distance is not None and metric == "cosine":
            raise LookalikeError(
                "Expected a least score (--min-score, query.min_score), as the metric is cosine. "
                "Received: a greatest distance"
            )
        known = {name: kind for name, kind in {ITEM_ID: "string", **metadata}.items() if not is_list(kind)}
        if self.group_by is not None and self.group_by not in known:
            shown = ", ".join(f"{name}: {kind}" for name, kind in known.items())
            raise LookalikeError(f"Expected a field to group by, one of {shown}. Received: {self.group_by!r}")
        if self.where is not None and QUERY not in self.where.lower():
            read_filter(self.where, schema_of(metadata))

    def floor(self, metric: Metric) -> np.float32:
        """How near a match must be, -inf for anything; as near as the float32 that is next to the threshold."""
        if metric == "cosine":
            return np.float32(-np.inf if self.min_score is None else self.min_score)
        return np.float32(-np.inf if self.max_distance is None else -self.max_distance)

    @property
    def grouping(self) -> Grouping | None:
        """The limit to the matches of a group, if there is one."""
        return None if self.group_by is None else Grouping(self.group_by, self.per_group)

    def pool(self, k: int) -> int:
        """How many matches are wanted of the search, for `k` in the end."""
        return k if self.diversify is None else _POOL * k


NO_CONDITIONS = Conditions()


def schema_of(metadata: Mapping[str, str]) -> pa.Schema:
    """The columns of items with these fields, name -> type."""
    return pa.schema([(ITEM_ID, pa.string()), *((name, arrow_type(kind)) for name, kind in metadata.items())])
