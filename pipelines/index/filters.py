"""Filters in SQL: an expression over the columns of an item, and as `query.NAME` over those of the query itself.

DuckDB reads and evaluates it, with files, network and settings locked. An item for which it is null, or cannot be
computed (`cast('XL' AS int)`), does not pass: whether it does depends on nothing but the item and the query.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing

from ..store.database import database, take_rows
from .filter_functions import why_refused

if TYPE_CHECKING:
    import duckdb

QUERY = "query"
"""What the query's own columns stand behind."""
_ITEMS = "items"
_LOCKED = (
    "enable_external_access = false",
    "python_enable_replacements = false",
    "autoload_known_extensions = false",
    "autoinstall_known_extensions = false",
    "allow_community_extensions = false",
    "TimeZone = 'UTC'",
    "memory_limit = '1GB'",
    "lock_configuration = true",
)
_EXPRESSIONS = {
    *(
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
    ),
    *("LAMBDA", "OPERATOR", "TYPE"),
}
"""Classes of expressions that look at one row only."""
_NEAR = re.compile('syntax error at or near "(.+)"')
_SHOWN = 200
"""Characters of a filter that an error repeats."""
_LONGEST = 1 << 20
_DEEPEST = 100
"""Brackets within brackets: DuckDB 2.0 takes 700 MB to read 2,000 that are never closed."""


@dataclass(frozen=True)
class Filter:
    """A condition that an item meets or not.

    Attributes:
        text: an SQL expression, true or false.
        columns: names of the items' columns that it looks at.
        of_query: names of the query's columns that it looks at.
    """

    text: str
    columns: tuple[str, ...]
    of_query: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def read_filter(text: str, items: pa.Schema, query: pa.Schema | None = None) -> Filter:
    """Reads a filter and checks it, without any items.

    Args:
        text: an SQL expression, true or false.
        items: the columns of the items.
        query: the columns of the queries, if they have any.

    Raises:
        LookalikeError: if it is no expression, names a column that is not there, or compares what cannot be compared.
    """
    with importing("DuckDB"):
        import duckdb

    def refused(reason: str) -> LookalikeError:
        columns = _named(items)
        if query is not None and len(query):
            columns += f" and, of the query, {_named(query, f'{QUERY}.')}"
        return LookalikeError(
            f"Expected a filter in SQL over {columns}. Received: {_shortened(text)!r}: {reason}"
        )

    cursor = _parser().cursor()
    try:
        nodes = list(_nodes(_expression(cursor, text)))
        _check_nodes(nodes)
        read = Filter(text, *_columns(nodes, items, query))
        _bind(cursor, read, items, query)
    except (_RefusedError, duckdb.Error) as error:
        first = _first_line(error)
        near = _NEAR.search(first)
        if near and near[1].lower() in {name.lower() for name in items.names}:
            first += f'; a column that is called as a word of SQL is in quotes: "{near[1]}"'
        raise refused(first) from error
    except (RecursionError, UnicodeEncodeError) as error:
        raise refused("it is nested too deeply, or no text") from error
    finally:
        cursor.close()
    return read


@contextlib.contextmanager
def opened_items(
    items: pa.Table, filters: Sequence[Filter]
) -> Iterator[Callable[[Filter, pa.Table | None], np.ndarray]]:
    """Holds items ready for filters.

    Args:
        items: the items.
        filters: those that will be asked.

    Yields:
        A function of one of the filters and the columns of a query, a row that has `Filter.of_query`, None where it has
        none. It gives the items that pass: int64 (m,), ascending rows of `items`.

    Raises:
        LookalikeError: if memory and temporary files do not suffice.
    """
    with importing("DuckDB"):
        import duckdb

    wanted = sorted({name for read in filters for name in read.columns})
    number = _number(wanted)
    rows = items.select(wanted).append_column(number, pa.array(np.arange(len(items))))
    with database(None) as connection:
        _lock(connection)
        take_rows(connection, f"CREATE TABLE {_ITEMS} AS FROM batches", rows.schema, iter(rows.to_batches()))

        def passing(read: Filter, query: pa.Table | None) -> np.ndarray:
            if read.of_query:
                assert query is not None
                connection.register("asked", _asked(query.select(read.of_query)))
            try:
                found = connection.execute(_statement(read, number, "(\n{}\n)"))
            except duckdb.OperationalError:  # memory, or the disk; not the filter
                raise
            except duckdb.Error:
                # Far slower for a long list of values, so only where there is something that cannot be computed.
                found = _tried(connection, read, number)
            return np.sort(found.fetchnumpy()[number]).astype(np.int64)

        yield passing


def _tried(connection: duckdb.DuckDBPyConnection, read: Filter, number: str) -> duckdb.DuckDBPyConnection:
    """The items that pass a filter which cannot be computed for all of them."""
    with importing("DuckDB"):
        import duckdb

    try:
        return connection.execute(_statement(read, number, "TRY((\n{}\n))"))
    except duckdb.OperationalError:
        raise
    except duckdb.Error as error:
        raise LookalikeError(
            f"Expected a filter that can be computed. Received: {_shortened(read.text)!r}: {_first_line(error)}"
        ) from error


def _statement(read: Filter, number: str, condition: str) -> str:
    tables = f"{_ITEMS}, asked" if read.of_query else _ITEMS
    return f'SELECT {_ITEMS}."{number}" FROM {tables} WHERE {condition.replace("{}", read.text)}'


class _RefusedError(Exception):
    """Why a text is no filter."""


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    for setting in _LOCKED:
        connection.execute(f"SET {setting}")


@functools.cache
def _parser() -> duckdb.DuckDBPyConnection:
    """An empty database that filters are read by; opening one takes longer than reading most of them."""
    with importing("DuckDB"):
        import duckdb

    # What lies in its folder for temporary files, .tmp where the command runs, could be read in spite of the lock.
    connection = duckdb.connect(config={"temp_directory": ""})
    _lock(connection)
    return connection


def _expression(cursor: duckdb.DuckDBPyConnection, text: str) -> Any:
    """The syntax tree of a text that is one expression, whole and alone."""
    if not text.strip():
        raise _RefusedError("it is empty")
    depth = itertools.accumulate((c == "(") - (c == ")") for c in text)
    if len(text.encode()) > _LONGEST or max(depth, default=0) > _DEEPEST:
        raise _RefusedError(
            f"it is longer than {_LONGEST:,} bytes, or nested deeper than {_DEEPEST} brackets"
        )
    # "a FROM x" can be selected, but not within brackets; "a) FROM x WHERE (b" within them, but not alone.
    statement = f"SELECT (\n{text}\n)"
    ((found,),) = cursor.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()
    tree = json.loads(found)
    if tree["error"]:
        raise _RefusedError(tree["error_message"])
    if len(cursor.extract_statements(f"SELECT\n{text}\n")) != 1:
        raise _RefusedError("expected one expression")
    return tree["statements"]


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """All expressions in a tree."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "class" in one:
                yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _check_nodes(nodes: Sequence[Mapping[str, Any]]) -> None:
    for node in nodes:
        if node["class"] not in _EXPRESSIONS:
            raise _RefusedError(f"expected no {node['class'].lower().replace('_', ' ')}")
        if node["class"] == "FUNCTION" and (reason := why_refused(node, _parser())):
            raise _RefusedError(reason)


def _columns(
    nodes: Sequence[Mapping[str, Any]], items: pa.Schema, query: pa.Schema | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of items, and of the query, that an expression names."""
    named = [node["column_names"] for node in nodes if node["class"] == "COLUMN_REF"]
    bound = {
        name.lower()
        for node in nodes
        if node["class"] == "LAMBDA"
        for inner in _nodes(node["lhs"])
        for name in inner.get("column_names", ())
    }
    known = {name.lower() for name in items.names}
    of_items, of_query = set(), set()
    for names in named:
        if len(names) == 2 and names[0].lower() == QUERY:
            of_query.add(_column(names[1], query, ".".join(names)))
        elif len(names) == 1 and names[0].lower() in bound - known:
            continue
        elif len(names) == 1 or (len(names) == 2 and names[0].lower() == _ITEMS):
            of_items.add(_column(names[-1], items, names[-1]))
        else:
            raise _RefusedError(f"there is no column {'.'.join(names)}")
    return tuple(sorted(of_items)), tuple(sorted(of_query))


def _column(name: str, schema: pa.Schema | None, shown: str) -> str:
    """A column by its name in any case, as SQL has it."""
    found = [one for one in (schema.names if schema is not None else ()) if one.lower() == name.lower()]
    if not found:
        raise _RefusedError(f"there is no column {shown}")
    if len(found) > 1:
        raise _RefusedError(f"{' and '.join(found)} are one column in SQL, which tells no case")
    return str(found[0])


def _bind(cursor: duckdb.DuckDBPyConnection, read: Filter, items: pa.Schema, query: pa.Schema | None) -> None:
    """Has DuckDB check the types, and compute what depends on no item, on an item that has no values."""
    number = _number(read.columns)
    row = _nulls(pa.schema([items.field(name) for name in read.columns]).append(pa.field(number, pa.int64())))
    cursor.register(_ITEMS, row)
    if read.of_query:
        assert query is not None
        cursor.register("asked", _asked(_nulls(pa.schema([query.field(name) for name in read.of_query]))))
    tables = f"{_ITEMS}, asked" if read.of_query else _ITEMS
    ((_, kind, *_),) = cursor.execute(f"DESCRIBE SELECT (\n{read.text}\n) FROM {tables}").fetchall()
    if kind != "BOOLEAN":
        raise _RefusedError(f"it is {kind} where true or false is wanted")
    cursor.execute(_statement(read, number, "(\n{}\n)")).fetchall()


def _nulls(schema: pa.Schema) -> pa.Table:
    """One row without values."""
    return pa.table([pa.nulls(1, field.type) for field in schema], names=schema.names)


def _asked(columns: pa.Table) -> pa.Table:
    """Columns of queries as one, so that `query.NAME` is its field and clashes with no column of the items."""
    fields = [column.combine_chunks() for column in columns.columns]
    return pa.table({QUERY: pa.StructArray.from_arrays(fields, names=columns.column_names)})


def _number(names: Sequence[str]) -> str:
    """A name for the number of a row that none of these columns has."""
    number = "row"
    while number in {name.lower() for name in names}:
        number += "_"
    return number


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _first_line(error: Exception) -> str:
    return re.sub(r"^\w+( \w+)* Error: ", "", str(error).partition("\n")[0])


def _named(schema: pa.Schema, before: str = "") -> str:
    return ", ".join(f"{before}{field.name}: {field.type}" for field in schema)
