"""A small change to the code that a test should notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A line of a file made wrong.

    Attributes:
        find: text that stands in the file exactly once.
        replace: what is put in its place.
        why: what goes wrong with it.
        tests: test files, or tests, that are tried behind those of the module; see `trial.suites_of`.
        grave: whether it gives a wrong answer or loses data: such a change must be noticed.
    """

    find: str
    replace: str
    why: str
    tests: tuple[str, ...]
    grave: bool


def wrong(find: str, replace: str, why: str, *tests: str) -> Change:
    """A change that gives a wrong answer."""
    return Change(find, replace, why, tests, True)


def loses(find: str, replace: str, why: str, *tests: str) -> Change:
    """A change that loses data, or leaves half of it."""
    return Change(find, replace, why, tests, True)


def worse(find: str, replace: str, why: str, *tests: str) -> Change:
    """A change that does harm of another kind: a refusal, a crash, work done twice."""
    return Change(find, replace, why, tests, False)
