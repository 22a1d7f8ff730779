"""Finds the shards that a configuration names: globs, brace lists, files, folders, lists of paths."""

from __future__ import annotations

import itertools
import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.encoding import require_utf8
from ..filesystem.files import FileInfo
from ..filesystem.text import lines
from . import folder
from .base import FILE_FORMATS, FORMATS, IMAGE_EXTENSIONS, SHARD_NAMES, Shard, SourceOptions
from .fields import escape
from .pack_note import NOTE
from .roots import absolute, common_root, fixed_part, relative_path
from .walk import is_in, list_corpus, named

_log = logging.getLogger(__name__)
_LIST_EXTENSIONS = (".txt", ".list")


def find_shards(paths: str | Sequence[str], options: SourceOptions) -> list[Shard]:
    """The shards that `paths` name, each once, sorted by name.

    Their names are paths relative to the root of the corpus. That is the folder, the folder before the first
    wildcard or brace, or the folder of a file; of several paths, the deepest folder that holds all their roots,
    where local paths are made absolute first (links are not followed) and URLs of one bucket share a root. A
    corpus that is moved, renamed or written in another way keeps its names. Where nothing is common, names are
    whole paths and URLs. One path more may move the root and so change all names: the shards are then read
    again, but what was embedded is known by its content.

    Args:
        paths: each a glob, a brace list, a file, a folder (of shards, or of images), or a text file (`.txt`,
            `.list`) with one of those a line, but for lines that begin with `#`.
        options: as `corpus` configures them.

    Raises:
        LookalikeError: if a path names nothing, not one kind of input, or two shards have one name, or Python takes
            names of files for anything but UTF-8.
        OSError: if a file system cannot be read.
    """
    require_utf8()
    patterns = [paths] if isinstance(paths, str) else paths
    found = list(_named_by(patterns, options, lists=True))
    if not found:
        raise LookalikeError(f"Expected shards. Received: a list that names none, {paths}")
    root = common_root(root for root, _ in found)
    shards = list(itertools.chain.from_iterable(shards for _, shards in found))
    found.clear()
    for place, shard in enumerate(shards):
        if root and shard.name.startswith(root):
            shards[place] = replace(shard, name=relative_path(root, shard.name))
    shards.sort(key=lambda shard: shard.name)
    return list(_each_once(shards))


def _each_once(shards: Iterable[Shard]) -> Iterator[Shard]:
    """The same shards, sorted by name, of which the first of a name counts. Raises LookalikeError for two others."""
    first = None
    for shard in shards:
        if first is None or shard.name != first.name:
            first = shard
            yield shard
        elif not _is_same(first, shard):
            raise LookalikeError(
                f"Expected a name for each shard; write their paths without `..` and `#`. "
                f"Received two of the name {escape(first.name)}: {escape(first.place)}, {escape(shard.place)}"
            )


def _is_same(one: Shard, other: Shard) -> bool:
    """Whether two shards of one name are one shard, whose place may be written in two ways."""
    first, second = one.files[0].path, other.files[0].path
    return first == second or (not files.is_remote(first) and os.path.samefile(first, second))


def _named_by(
    patterns: Sequence[str], options: SourceOptions, lists: bool
) -> Iterator[tuple[str, list[Shard]]]:
    """The root of each path that patterns stand for, and the shards there, which have their whole path as name."""
    expanded = [(pattern, path) for pattern in patterns for path in files.expand_braces(pattern)]
    for (pattern, path), found in zip(expanded, files.look_many([path for _, path in expanded]), strict=True):
        if found.is_folder:
            root = path.removeprefix("file://").rstrip("/") or "/"
            yield absolute(path) if path == pattern else fixed_part(pattern), _of_folder(root, options)
        elif path.lower().endswith(_LIST_EXTENSIONS):
            if not lists:
                raise LookalikeError(f"A list of paths cannot name another list. Received: {path}")
            for listed in [found.file] if found.file else files.glob(path):
                if listed.size > options.max_bytes:
                    raise LookalikeError(
                        f"Expected a list of paths. Received: {path}, {options.too_large(listed.size)}"
                    )
                yield from _named_by(_lines(listed.path), options, lists=False)
        else:
            there = [found.file] if found.file else named(path, options.follow_links)
            yield fixed_part(pattern), [_of_file(file, _format_of(file, options)) for file in there]


def _of_file(file: FileInfo, format: str) -> Shard:
    return Shard(absolute(file.path), format, (file,))


def _lines(path: str) -> list[str]:
    try:
        found = [line.decode("utf-8").strip() for line in lines(path)]
    except UnicodeDecodeError:
        raise LookalikeError(f"Expected a list of paths, one a line, in UTF-8. Received: {path}") from None
    return [line for line in found if line and not line.startswith("#")]


def _of_folder(root: str, options: SourceOptions) -> list[Shard]:
    def path(file: FileInfo) -> str:
        return relative_path(root, file.path)

    def extension(file: FileInfo) -> str:
        return folder.extension(path(file))

    listed = [f for f in list_corpus(root, options.follow_links) if path(f).rpartition("/")[2] != NOTE]
    visible = [file for file in listed if extension(file) != "hidden"]
    by_format: dict[str, list[FileInfo]] = {
        name: [file for file in visible if SHARD_NAMES[name].search(path(file))] for name in FILE_FORMATS
    }
    by_format["folder"] = [file for file in visible if extension(file) in IMAGE_EXTENSIONS]
    chosen = options.format or _only_kind(root, [name for name in FORMATS if by_format[name]])
    if chosen == "folder":
        found, others = folder.choose([(path(file), file) for file in listed])
    else:
        found = by_format[chosen] or [file for file in visible if _is_part(path(file))]
        known = {file.path for file in found if file.problem}
        closed = [file for file in visible if file.path not in known and _is_closed(file, root, options)]
        found = [*found, *closed] if found else []
        others = Counter(map(extension, listed)) - Counter(map(extension, found))
    left_out = ", ".join(f"{n} {ext or 'without extension'}" for ext, n in sorted(others.items()))
    if not found:
        extensions = ", ".join(sorted(IMAGE_EXTENSIONS))
        expected = f"images ({extensions})" if chosen == "folder" else f"{chosen} files"
        expected = expected if options.format else f"shard files or {expected}"
        raise LookalikeError(f"Expected {expected} in the folder {root}. Received: {left_out or 'no files'}")
    if left_out:
        _log.info("%s: left out %d of %d files: %s", root, others.total(), len(listed), left_out)
    if chosen == "folder":
        return folder.virtual_shards(root, found, options.images_per_shard)
    return [_of_file(file, chosen) for file in found]


def _is_closed(file: FileInfo, root: str, options: SourceOptions) -> bool:
    """Whether it is a folder whose files are not listed, nor are they by another way: nobody knows what they are."""
    if not file.problem or not os.path.isdir(file.path):
        return False
    is_outside = not is_in(os.path.realpath(file.path), os.path.realpath(root))
    return not os.access(file.path, os.R_OK | os.X_OK) or (is_outside and not options.follow_links)


def _is_part(path: str) -> bool:
    """Whether a file has a name as Spark and Hadoop give it: `part-00000`, but not `_SUCCESS`."""
    name = path.rpartition("/")[2]
    return "." not in name and not name.startswith("_")


def _only_kind(root: str, kinds: list[str]) -> str:
    if len(kinds) > 1:
        raise LookalikeError(
            f"The folder {root} holds more than one kind of input: set corpus.format to one of them, or name "
            f"the files. Received: {', '.join(kinds)}"
        )
    return kinds[0] if kinds else "folder"


def _format_of(file: FileInfo, options: SourceOptions) -> str:
    if options.format == "folder":
        raise LookalikeError(f"corpus.format: folder expects a folder. Received the file: {file.path}")
    if options.format:
        return options.format
    by_name = next((name for name, pattern in SHARD_NAMES.items() if pattern.search(file.path)), None)
    found = by_name or (FILE_FORMATS[0] if file.problem else _by_content(file.path))
    if not found:
        hint = (
            " Name the folder of images instead."
            if folder.extension(Path(file.path).name) in IMAGE_EXTENSIONS
            else ""
        )
        raise LookalikeError(
            f"Expected a shard, but neither name nor content tell its format; set corpus.format to one of "
            f"{', '.join(FILE_FORMATS)}.{hint} Received: {file.path}"
        )
    return found


def _by_content(path: str) -> str | None:
    from . import tfrecord

    with files.open_read(path) as file:
        head = file.read(4096)
    if head.startswith(b"PAR1"):
        return "parquet"
    if tfrecord.is_header(head[:12]):
        return "tfrecord"
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 512)
        except zlib.error:
            return None
    if head[257:262] == b"ustar":
        return "webdataset"
    return "tfrecord" if tfrecord.is_header(head[:12]) else None
