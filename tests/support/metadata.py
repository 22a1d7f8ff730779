"""Values of every type of metadata."""

from __future__ import annotations

from datetime import timezone
from decimal import Context, Decimal
from typing import Any

from hypothesis import strategies as st

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "bool": st.booleans(),
    "int64": _INT64,
    "uint64": st.integers(0, 2**64 - 1),
    "float64": st.floats(),
    "date": st.dates(),
    "timestamp": st.datetimes(timezones=st.just(timezone.utc)).map(lambda moment: moment.replace(fold=0)),
    "decimal(38,9)": st.integers(-(10**38) + 1, 10**38 - 1).map(
        lambda n: Decimal(n).scaleb(-9, Context(prec=40))
    ),
    "list<string>": st.lists(_TEXT, max_size=3),
    "list<int64>": st.lists(_INT64, max_size=3),
    "list<float64>": st.lists(st.floats(), max_size=3),
}
KINDS = tuple(VALUES)
