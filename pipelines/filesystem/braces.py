"""Brace lists, written out as a shell does."""

from __future__ import annotations

import itertools
import re

_BRACES = re.compile(r"\{([^{}]*)\}")


def expand_braces(pattern: str) -> list[str]:
    """`a{1,3}` and `{008..010}` written out, as a shell does, keeping leading zeros.

    >>> expand_braces("x-{008..010}.tar")
    ['x-008.tar', 'x-009.tar', 'x-010.tar']
    """
    match = _BRACES.search(pattern)
    if not match:
        return [pattern]
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if ends:
        first, last = int(ends[1]), int(ends[2])
        width = len(ends[1]) if ends[1].startswith("0") else 0
        step = 1 if last >= first else -1
        choices = [str(i).zfill(width) for i in range(first, last + step, step)]
    else:
        choices = match[1].split(",")
    head, tail = pattern[: match.start()], pattern[match.end() :]
    return list(itertools.chain.from_iterable(expand_braces(head + choice + tail) for choice in choices))
