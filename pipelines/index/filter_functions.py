"""Which of DuckDB's functions a filter may call: what gives one value, of the arguments alone, that is not huge."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_ANY_SIZE = frozenset(
    {
        *("array_resize", "bar", "bitstring", "equi_width_bins", "format", "generate_series", "list_resize"),
        *("printf", "range", "repeat"),
    }
)
"""Functions that make values as long as a number says, which DuckDB's limit of memory does not count."""
_PADDED = {"lpad", "rpad"}
"""The same, of use with a short length that is written down."""
_MOST_PADDED = 1000


def why_refused(call: Mapping[str, Any], connection: duckdb.DuckDBPyConnection) -> str | None:
    """Why a filter may not call a function in this way; None if it may.

    Args:
        call: a node of class FUNCTION, as `json_serialize_sql` gives it.
        connection: to the database that would run it.
    """
    name = call["function_name"].lower()
    if name in _changing(connection):
        return f"{name} is not the same from run to run"
    if name in _ANY_SIZE:
        return f"{name} makes values of any length"
    if name in _PADDED and not _is_short(call["arguments"]):
        return f"expected a number up to {_MOST_PADDED} as length in {name}"
    return None


def _is_short(arguments: list[Mapping[str, Any]]) -> bool:
    if len(arguments) < 2:
        return True  # an error, of which DuckDB tells more
    length = arguments[1]["expression"].get("literal", {}).get("text", "")
    return bool(re.fullmatch("[0-9]{1,9}", length)) and int(length) <= _MOST_PADDED


@functools.cache
def _changing(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Functions whose value depends on more than their arguments, or that do more than compute one."""
    found = connection.cursor().execute(
        "SELECT function_name, stability, macro_definition FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'macro')"
    )
    rows = found.fetchall()
    names = {name for name, stability, macro in rows if macro is None and stability != "CONSISTENT"}
    return frozenset(
        names | {name for name, _, macro in rows if macro and names & set(re.findall(r"\w+", macro))}
    )
