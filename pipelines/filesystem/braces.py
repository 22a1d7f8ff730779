"""Brace lists, written out as a shell does."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lookalike.model.errors import LookalikeError

MOST = 1_000_000
"""Names that a pattern may stand for."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")


def expand_braces(pattern: str) -> list[str]:
    """`a{1,3}` and `{008..010}` written out, as a shell does, keeping leading zeros.

    >>> expand_braces("x-{008..010}.tar")
    ['x-008.tar', 'x-009.tar', 'x-010.tar']

    Raises:
        LookalikeError: if they are more than `MOST`.
    """
    found: list[str] = []
    waiting = [pattern]
    while waiting:
        one = waiting.pop()
        match = _BRACES.search(one)
        if not match:
            found.append(one)
            continue
        count, choices = _choices(match[1])
        if len(found) + len(waiting) + count > MOST:
            raise LookalikeError(f"Expected at most {MOST:,} names in a brace list. Received: {pattern}")
        head, tail = one[: match.start()], one[match.end() :]
        waiting += [f"{head}{choice}{tail}" for choice in choices][::-1]
    return found


def _choices(listed: str) -> tuple[int, Iterable[str]]:
    """How many choices stand between two braces, and these."""
    ends = _RANGE.fullmatch(listed)
    if not ends:
        choices = listed.split(",")
        return len(choices), choices
    first, last = map(int, ends.groups())
    width = len(ends[1]) if ends[1].startswith("0") else 0
    step = 1 if last >= first else -1
    return abs(last - first) + 1, (str(i).zfill(width) for i in range(first, last + step, step))
