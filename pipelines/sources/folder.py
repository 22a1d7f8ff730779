"""Folders of images: one file is one record, its relative path the id, its directory a field of metadata."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from .base import IMAGE_EXTENSIONS, OTHER_EXTENSIONS, SHARD_NAMES, Shard, SourceOptions
from .content import HEAD, is_image, is_text
from .cuts import cut
from .fields import Stored, build, escape
from .opening import NotAsListedError, open_listed
from .records import Record, Reject
from .roots import absolute, relative_path
from .walk import is_in


def extension(path: str) -> str:
    """The last extension in lower case, without its dot; `hidden` if a part of the path begins with a dot."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return parts[-1].rpartition(".")[2].lower() if "." in parts[-1] else ""


def choose(listed: Sequence[tuple[str, FileInfo]]) -> tuple[list[FileInfo], Counter[str]]:
    """The images among the files of a folder, told by content where the name does not tell.

    A file is taken if it has an image's extension, or one that says nothing, or if it cannot be read: what is no image
    becomes a reject by its name. Left out are hidden files; and, unless their first bytes are an image's, files with
    the extension of something else and text without an extension. Remote ones with such an extension are not looked
    at, which would take a request each.

    Args:
        listed: relative path and file.

    Returns:
        The images in order, none if nothing is like one; and how many files are left out, by extension.
    """
    chosen = []
    is_certain = False
    for path, file in listed:
        ending = extension(path)
        if ending == "hidden":
            continue
        is_named = ending in IMAGE_EXTENSIONS
        is_other = ending in OTHER_EXTENSIONS or any(name.search(path) for name in SHARD_NAMES.values())
        if not is_named and not file.problem:
            is_far = is_other and files.is_remote(file.path)
            head = _head(file) if not is_far and (is_other or not ending or not is_certain) else b""
            is_named = is_image(head)
            if not is_named and (is_other or (not ending and is_text(head))):
                continue
        is_certain |= is_named
        chosen.append(file)
    kept = set(chosen) if is_certain else set()
    left_out = Counter(extension(path) for path, file in listed if file not in kept)
    return (chosen if is_certain else []), left_out


def _head(file: FileInfo) -> bytes:
    """The first bytes; none of a file that cannot be read, which is told when it is read as a whole."""
    try:
        with open_listed(file) as opened:
            return opened.read(HEAD)
    except (NotAsListedError, OSError):
        return b""


def virtual_shards(root: str, images: list[FileInfo], images_per_shard: int) -> list[Shard]:
    """Parts of about `images_per_shard` neighbouring images, in order; see `cuts.cut`.

    Args:
        root: the folder, as listed.
        images: its images, sorted by path.
        images_per_shard: their mean number in a shard.

    Returns:
        Shards whose names are the absolute path of the folder, `#` and the name of the part.
    """
    parts = cut([relative_path(root, file.path) for file in images], images_per_shard)
    return [Shard(f"{absolute(root)}#{name}", "folder", tuple(images[part]), root) for name, part in parts]


def check_outside(shards: Iterable[Shard], what: str, place: str) -> None:
    """Refuses a folder of ours whose files would be listed as images of the corpus; a hidden one's are not.

    Args:
        shards: of the corpus.
        what: what the folder is, for the error.
        place: the folder, which need not be there yet.

    Raises:
        LookalikeError: if it is a folder of images, or lies below one.
    """
    for root in sorted({shard.root for shard in shards if shard.format == "folder"}):
        above, inside = map(_real, (root, place))
        if is_in(inside, above) and extension(relative_path(above, inside)) != "hidden":
            raise LookalikeError(
                f"Expected {what} outside of the folder of images {escape(root)}, which lists all files below it. "
                f"Received: {escape(place)}"
            )


def _real(path: str) -> str:
    return absolute(path if files.is_remote(path) else os.path.realpath(path.removeprefix("file://")))


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The images of one virtual shard, in order; see `lookalike.sources.read_shard`.

    A file that is gone, may not be read or is another than was listed is rejected alone, as `not_as_listed`.
    """
    for position, file in enumerate(shard.files):
        path = relative_path(shard.root, file.path)
        problem = file.problem or (options.too_large(file.size) if file.size > options.max_bytes else "")
        if problem:
            yield Reject(escape(path), position, "read", problem)
            continue
        try:
            with open_listed(file) as opened:
                # A file that grows meanwhile is found out when its shard has been read.
                image = opened.read(file.size + 1)
        except NotAsListedError as error:
            yield Reject(escape(path), position, "read", str(error), not_as_listed=True)
            continue
        fields = {"directory": path.rpartition("/")[0]}
        key = path.encode("utf-8", "surrogateescape")
        yield build(shard, options, position, Stored(key, image, fields))
