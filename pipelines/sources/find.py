"""Finds the shards that a configuration names: globs, brace lists, files, folders, lists of paths."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from . import folder, tfrecord
from .base import FILE_FORMATS, FORMATS, IMAGE_EXTENSIONS, SHARD_NAMES, Shard, SourceOptions

_log = logging.getLogger(__name__)
_LIST_EXTENSIONS = (".txt", ".list")


def find_shards(paths: str | Sequence[str], options: SourceOptions) -> list[Shard]:
    """The shards that `paths` name, each once, sorted by name.

    Args:
        paths: each a glob, a brace list, a file, a folder (of shards, or of images), or a text file (`.txt`,
            `.list`) with one of those a line, but for lines that begin with `#`.
        options: as `corpus` configures them.

    Raises:
        LookalikeError: if a path names nothing, or not one kind of input.
        OSError: if a file system cannot be read.
    """
    shards: dict[str, Shard] = {}
    for path in [paths] if isinstance(paths, str) else paths:
        for shard in _named_by(path, options, lists=True):
            place = shard.name if files.is_remote(shard.name) else str(Path(shard.name).absolute())
            shards.setdefault(place, shard)
    if not shards:
        raise LookalikeError(f"Expected shards. Received: a list that names none, {paths}")
    return sorted(shards.values(), key=lambda shard: shard.name)


def _named_by(pattern: str, options: SourceOptions, lists: bool) -> Iterator[Shard]:
    for path in files.expand_braces(pattern):
        if files.is_folder(path):
            yield from _of_folder(path.removeprefix("file://").rstrip("/") or "/", options)
        elif path.lower().endswith(_LIST_EXTENSIONS):
            if not lists:
                raise LookalikeError(f"A list of paths cannot name another list. Received: {path}")
            for listed in files.glob(path):
                for line in _lines(listed.path):
                    yield from _named_by(line, options, lists=False)
        else:
            for file in files.glob(path):
                yield Shard(file.path, _format_of(file, options), (file,))


def _lines(path: str) -> list[str]:
    try:
        text = files.read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise LookalikeError(f"Expected a list of paths, one a line, in UTF-8. Received: {path}") from None
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def _of_folder(root: str, options: SourceOptions) -> list[Shard]:
    listed = [(folder.relative_path(root, file.path), file) for file in files.list_files(root)]
    visible = [(path, file) for path, file in listed if folder.extension(path) != "hidden"]
    by_format: dict[str, list[FileInfo]] = {
        name: [f for path, f in visible if SHARD_NAMES[name].search(path)] for name in FILE_FORMATS
    }
    by_format["folder"] = [file for path, file in visible if folder.extension(path) in IMAGE_EXTENSIONS]
    chosen = options.format or _only_kind(root, [name for name in FORMATS if by_format[name]])
    found = by_format[chosen]
    if not found and chosen != "folder":
        found = [file for path, file in visible if _is_part(path)]
    kept = set(found)
    others = Counter(folder.extension(path) for path, file in listed if file not in kept)
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
    return [Shard(file.path, chosen, (file,)) for file in found]


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
    found = by_name or _by_content(file.path)
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
