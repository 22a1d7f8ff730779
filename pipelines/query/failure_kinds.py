"""Why queries failed, in one line: errors that differ only in names and numbers are one kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_NUMBER = re.compile(r"[0-9][0-9.,]*")
_OF_ONE = re.compile(r": |\. Received")
"""What stands behind it is of one file, or a library's word for the same."""
_MOST_KINDS = 1000
"""That are told apart; a job may have millions of failures."""
_SHOWN = 3
_LONGEST = 80


class FailureKinds:
    """Counts errors by their kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._others = 0

    def add(self, errors: Iterable[str]) -> None:
        """Counts some more."""
        for error in errors:
            said = _OF_ONE.split(error, 1)[0]
            kind = _NUMBER.sub("0", _NAME.sub("''", said))
            if kind not in self._counts and len(self._counts) == _MOST_KINDS:
                self._others += 1
            else:
                self._counts[kind] += 1
                self._examples.setdefault(kind, said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…")

    def line(self) -> str:
        """The commonest kinds, each with its number and the words of its first error; empty where nothing failed.

        >>> kinds = FailureKinds()
        >>> kinds.add(["empty file", "no file a.jpg: gone", "empty file"])
        >>> kinds.line()
        '2: empty file; 1: no file a.jpg'
        """
        # Of two that are as common, the one that came first.
        shown = sorted(self._counts, key=lambda kind: -self._counts[kind])[:_SHOWN]
        parts = [f"{self._counts[kind]:,}: {self._examples[kind]}" for kind in shown]
        if rest := self._counts.total() + self._others - sum(self._counts[kind] for kind in shown):
            parts.append(f"{rest:,} for other reasons")
        return "; ".join(parts)


class Counted:
    """A table of failures that counts the kinds of what is written to it.

    Args:
        table: as `tables.open_table` gives it.
        kinds: which count.
    """

    def __init__(self, table: Any, kinds: FailureKinds) -> None:
        self._table, self._kinds = table, kinds

    def write_table(self, rows: pa.Table) -> None:
        """Writes rows with a column `error`."""
        self._kinds.add(rows["error"].to_pylist())
        self._table.write_table(rows)
