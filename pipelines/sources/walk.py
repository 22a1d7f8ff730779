"""What lies below a folder, or is named by a pattern: files, and what cannot be read, each once, links within bounds.

A named pipe is never opened, which would wait for a writer; a link out of the corpus is not followed unless that is
allowed; a loop of links ends.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from .fields import escape
from .roots import fixed_part

_WILDCARD = re.compile(r"[*?\[]")
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def list_corpus(root: str, follow_links: bool) -> list[FileInfo]:
    """All files below a folder, sorted by path. What cannot be read is among them, with its `problem`.

    Args:
        root: the folder, local or a URL; may be a link itself.
        follow_links: whether links may lead out of it. Those that stay inside are followed in any case, but a folder
            once only, and not into one that the link lies in.

    Raises:
        OSError: if the file system fails.
    """
    if files.is_remote(root):
        return files.list_files(root)
    walk = _Walk(os.path.realpath(root), follow_links)
    return sorted(walk.below(root, walk.root), key=lambda file: file.path)


def named(pattern: str, follow_links: bool) -> list[FileInfo]:
    """The files that a path or a pattern without braces names, in order of their paths; see `list_corpus`.

    A path without wildcards may be any link: whoever writes it knows where it leads.

    Raises:
        LookalikeError: if there are none.
        OSError: if the file system fails.
    """
    local = pattern.removeprefix("file://")
    wildcard = _WILDCARD.search(local)
    if files.is_remote(pattern):
        return files.glob(pattern)
    if not wildcard or os.path.exists(local):
        # A pipe that is named is told of; it would wait for a writer.
        file = _described(local)
        return [file] if file else files.glob(pattern)
    walk = _Walk(os.path.realpath(fixed_part(local)), follow_links)
    if "**" in local.split("/"):
        # `glob` goes forty times through a loop of links.
        base = local[: wildcard.start()].rpartition("/")
        folder = "".join(base[:2]) or "./"
        wanted = local[len("".join(base[:2])) :].split("/")
        below = walk.below(folder, walk.root)
        found = [file for file in below if _matches(file.path[len(folder) :].split("/"), wanted)]
    else:
        found = [file for path in glob.glob(local) if (file := walk.look(path)) is not None]
    if not found:
        raise LookalikeError(f"No file matches. Expected a path, a glob or a brace list. Received: {pattern}")
    return sorted(found, key=lambda file: file.path)


def _matches(path: list[str], wanted: list[str]) -> bool:
    """Whether the parts of a path are what the parts of a pattern say, of which `**` is any number of folders."""
    if not path or not wanted:
        return not path and (not wanted or wanted == ["**"])
    if path[0].startswith(".") and not wanted[0].startswith("."):
        return wanted[0] == "**" and _matches(path, wanted[1:])
    if wanted[0] == "**":
        return _matches(path, wanted[1:]) or _matches(path[1:], wanted)
    return fnmatch.fnmatchcase(path[0], wanted[0]) and _matches(path[1:], wanted[1:])


@dataclass
class _Walk:
    """Goes through one corpus.

    Attributes:
        root: the real path of its folder.
        follow_links: whether links may lead out of it.
        entered: real path of a folder that a link led to -> that link.
    """

    root: str
    follow_links: bool
    entered: dict[str, str] = field(default_factory=dict)

    def below(self, folder: str, real: str) -> Iterator[FileInfo]:
        """The files below a folder that really lies at `real`."""
        waiting = [(folder, real)]
        while waiting:
            folder, real = waiting.pop()
            try:
                entries = os.scandir(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
                    raise
                yield _problem(folder, f"is a folder that cannot be read: {error.strerror}")
                continue
            folders, links = [], []
            with entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, os.path.join(real, entry.name)))
                    elif entry.is_symlink():
                        links.append(entry.path)
                    elif file := _described(entry.path):
                        yield file
            for path in sorted(links):  # of two to one folder the first is followed
                leads_to = self._linked(path, real)
                if isinstance(leads_to, FileInfo):
                    yield leads_to
                elif leads_to is not None:
                    folders.append((path, leads_to))
            waiting += sorted(folders, reverse=True)

    def look(self, path: str) -> FileInfo | None:
        """One path as `below` gives it; None for a folder."""
        folder = os.path.dirname(path)
        real = os.path.realpath(folder)
        if not self.follow_links and not is_in(real, self.root):
            if os.path.isdir(path):
                return None
            return _problem(
                path,
                f"lies in {folder}, a link out of the corpus folder, to {real}; corpus.follow_links: true allows that",
            )
        found = (
            self._linked(path, "") if os.path.islink(path) and not os.path.isdir(path) else _described(path)
        )
        return found if isinstance(found, FileInfo) else None

    def _linked(self, path: str, folder: str) -> FileInfo | str | None:
        """What a link in a folder of this real path leads to: a file, or the real path of a folder to be read."""
        target = os.readlink(path)
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as error:
            return _problem(path, f"is a link to {target}, which cannot be followed: {error.strerror}")
        if not self.follow_links and not is_in(real, self.root):
            return _problem(
                path,
                f"is a link out of the corpus folder, to {target}; corpus.follow_links: true allows that",
            )
        if not os.path.isdir(real):
            return _described(path)
        if is_in(folder, real):
            return _problem(path, f"is a link to a folder that it lies in, {target}")
        if self.entered.setdefault(real, path) != path:
            return _problem(path, f"is a link to {target}, where the link {self.entered[real]} leads, too")
        return real


def is_in(path: str, folder: str) -> bool:
    """Whether a path is that of a folder, or of something below it; both real paths."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _described(path: str) -> FileInfo | None:
    """A file as it is listed; None for a folder, or what is gone meanwhile."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _problem(path, f"cannot be read: {error.strerror}")
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        return None
    if kind != stat.S_IFREG:
        return _problem(path, f"is {_KINDS.get(kind, 'a special file')}, not an image")
    if not os.access(path, os.R_OK):
        return _problem(path, "may not be read: Permission denied")
    return files.info_of(path, found)


def _problem(path: str, problem: str) -> FileInfo:
    """What cannot be read, named by its last part."""
    try:
        modified = str(os.lstat(path).st_mtime_ns)
    except OSError:
        modified = "0"
    return FileInfo(path, 0, modified, escape(f"{os.path.basename(path)!r} {problem}"))
