"""What the files and folders that runs make in a store are called: in its folders nothing else is ever deleted.

A job file may name a folder as its store that holds other things, such as `runs` of another program, and people put
files of their own beside what a run made.
"""

from __future__ import annotations

import re

from ..filesystem import files

_DIGEST = "[0-9a-f]{64}"
_SHORT = "[0-9a-f]{16}"
_ARTIFACT = re.compile(
    rf"indexes/\d{{5,}}-of-\d{{5,}}-[\w-]+|encoders/{_DIGEST}|embeddings/{_SHORT}/[^/]+-{_SHORT}\.parquet"
)
_GENERATION = re.compile(r"\d{8}T\d{6}Z-[\w-]+")
_KEPT = re.compile(rf"kept/{_SHORT}(\.arrow|/[^/]+-\d{{5,}}\.\w+\.arrow)")
_ANSWERS = re.compile(rf"{_GENERATION.pattern}-[0-9a-f]{{12}}")
_RUN = re.compile(r"[0-9a-f]{32}|\.[0-9a-f]{32}\.tmp-.*")
"""Also what one did not finish."""


def is_artifact(path: str) -> bool:
    """Whether a path relative to the store is that of an encoder, an index shard or an embedding file.

    >>> is_artifact("indexes/00000-of-00001-0123456789abcdef-added"), is_artifact("indexes/books")
    (True, False)
    """
    return bool(_ARTIFACT.fullmatch(path))


def is_generation(name: str) -> bool:
    """Whether a folder in `generations` is called as one of ours.

    >>> is_generation("20260101T020000Z-0f3a9c21"), is_generation("v1")
    (True, False)
    """
    return bool(_GENERATION.fullmatch(name))


def is_kept(path: str) -> bool:
    """Whether a path relative to the store is that of what was read of embedding files; see `kept`.

    >>> is_kept("kept/0123456789abcdef.arrow"), is_kept("kept/letters.txt")
    (True, False)
    """
    return bool(_KEPT.fullmatch(path))


def is_answers(name: str) -> bool:
    """Whether a folder of a standing query is called as answers are.

    >>> is_answers("20260101T020000Z-0f3a9c21-0123456789ab"), is_answers("looked-at")
    (True, False)
    """
    return bool(_ANSWERS.fullmatch(name))


def of_runs(folder: str) -> list[str]:
    """What runs left in the folder `runs` or `attempts`: the folder itself if nothing else is in it. Raises OSError."""
    held = files.entries(folder)
    if not held and files.is_remote(folder):
        return []  # where no folder stays without a file, and to delete none is a request
    ours = sorted(filter(_RUN.fullmatch, held))
    return [folder] if len(ours) == len(held) else [files.join(folder, name) for name in ours]
