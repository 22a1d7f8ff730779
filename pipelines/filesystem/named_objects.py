"""What many paths and patterns name on object stores, found by listing folders, and none of them twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import objects
from .listing import FileInfo
from .urls import split

FEW = 8
"""Up to so many paths in one folder are asked for one by one; with more it is listed."""
WILDCARD = re.compile(r"[*?\[]")
_SIGN = re.compile(r"\*\*/|\*\*|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)
_SIGNS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a path names.

    Attributes:
        path: as it was given.
        file: the file of that name; None if there is none.
        is_folder: whether it is a folder.
    """

    path: str
    file: FileInfo | None
    is_folder: bool


class Listings:
    """Folders, each listed when it is first asked for, and kept."""

    def __init__(self) -> None:
        self._levels: dict[str, objects.Level] = {}

    def level(self, folder: str) -> objects.Level:
        if folder not in self._levels:
            self._levels[folder] = objects.level(folder)
        return self._levels[folder]

    def look(self, urls: Sequence[str]) -> Iterator[Found]:
        """What each of these is; none has wildcards. Raises OSError."""
        in_folder = Counter(url.rstrip("/").rpartition("/")[0] for url in urls)
        for url in urls:
            plain = url.rstrip("/")
            folder = plain.rpartition("/")[0]
            if url != plain or not split(plain)[1]:
                yield Found(url, None, objects.is_folder(plain))
            elif in_folder[folder] > FEW or folder in self._levels:
                file = self.level(folder).files.get(plain)
                yield Found(url, file, not file and plain in self.level(folder).folders)
            else:
                file = _file(plain)
                yield Found(url, file, not file and objects.is_folder(plain))

    def glob(self, pattern: str) -> list[FileInfo]:
        """The objects that a pattern names: `*` and `?` stay within a folder, `**` does not. Raises OSError."""
        bucket, key = split(pattern)
        fixed = WILDCARD.split(pattern, maxsplit=1)[0].rpartition("/")[0] if key else bucket
        parts = pattern[len(fixed) + 1 :].split("/")
        deep = next((number for number, part in enumerate(parts) if "**" in part), None)
        folders = [fixed]
        for part in parts[: len(parts) - 1 if deep is None else deep]:
            matches = re.compile(_expression(part)).fullmatch
            below = (url for folder in folders for url in sorted(self.level(folder).folders))
            folders = [url for url in below if matches(url.rpartition("/")[2])]
        matches = re.compile(
            _expression("/".join(parts[len(parts) - 1 if deep is None else deep :]))
        ).fullmatch
        return [
            file
            for folder in folders
            for file in (self.level(folder).files.values() if deep is None else objects.below(folder))
            if matches(file.path[len(folder) + 1 :])
        ]


def _file(url: str) -> FileInfo | None:
    try:
        return objects.look(url)
    except FileNotFoundError:
        return None


def _expression(pattern: str) -> str:
    r"""A regular expression for what a pattern matches.

    >>> print(_expression("x-*.tar"), _expression("**/[!a]?"))
    x\-[^/]*\.tar (?:.*/)?[^a][^/]
    """
    return "".join(_SIGNS.get(sign) or _expression_of(sign) for sign in _SIGN.findall(pattern))


def _expression_of(sign: str) -> str:
    if len(sign) == 1:
        return re.escape(sign)
    inside = sign[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    return f"[^{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"


def delete(urls: Sequence[str]) -> None:
    """Deletes objects, and folders with all that is in them; what is gone already is no error. Raises OSError."""
    plain = [url.rstrip("/") for url in urls]
    in_folder = Counter(url.rpartition("/")[0] for url in plain)
    listings = Listings()
    for url in plain:
        folder = url.rpartition("/")[0]
        if in_folder[folder] <= FEW or url in listings.level(folder).folders:
            objects.delete(file.path for file in objects.below(url))
    objects.delete(plain)
