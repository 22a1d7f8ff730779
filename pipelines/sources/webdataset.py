"""WebDataset shards: a tar, plain or gzip, whose neighbouring members with the same key form one record."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from .base import IMAGE_EXTENSIONS, Shard, SourceOptions
from .fields import Stored, build, damage, read_json
from .opening import open_listed
from .records import Record, Reject

TEXT_MEMBERS = ("txt", "cls")
"""Members that serve as metadata fields of the same name, where the `.json` has none of that name."""
PACKED_ID = "item_id"
"""Field of the `.json` in which packing writes the id."""

_EndOfArchive: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_HeaderError: type[Exception] = tarfile.HeaderError


class _DamagedError(Exception):
    pass


class _StrictTarInfo(tarfile.TarInfo):
    """`tarfile` takes a damaged header, or a missing one, for the end of the archive; this raises."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tarfile)
        except _EndOfArchive:
            raise
        except _HeaderError as error:
            raise _DamagedError(f"the archive is cut, or its next header is damaged ({error}),") from None


_DAMAGE = (_DamagedError, tarfile.TarError, ValueError, LookupError, OverflowError)


@dataclass(slots=True)
class _Group:
    """The members of one record, as far as they were read."""

    key: str
    extensions: set[str] = field(default_factory=set)
    image_extension: str | None = None
    image: bytes | None = None
    not_a_file: str | None = None
    texts: dict[str, bytes] = field(default_factory=dict)


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The records of one tar, in order; see `lookalike.sources.read_shard`.

    The key is a member's path up to the first dot of its last part, its extension what follows. A record
    ends where the key changes or an extension comes again. Of several members with an image extension, the
    image is the one with the fewest dots in its extension, and among those the first in alphabetical order
    (`jpg` before `png` before `mask.png`). Members whose names begin with a dot or have no extension belong
    to no record. A record that damage may have cut is counted as the reject that ends the shard.

    The id is the key, unless the key is `packed_key` of what the `.json` has as `item_id`: then it is that.
    """
    with open_listed(shard.files[0]) as raw:
        unpacked = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if unpacked else raw
        archive: Any = None
        position = 0
        try:
            # Stream mode never seeks back, whatever a damaged header says.
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_StrictTarInfo) as archive:
                for group in _groups(archive, {*TEXT_MEMBERS, "json"} if options.fields else set()):
                    yield _record(shard, options, position, group)
                    position += 1
                _check_end(archive)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            reason = f"gzip data are damaged or cut ({error})"
            yield damage(shard, position, _reached(archive, file), reason, unpacked=True)
        except _DAMAGE as error:
            yield damage(shard, position, _reached(archive, file), str(error), unpacked=unpacked)


def packed_key(item_id: str) -> str:
    """The key under which packing stores an image: its id, with the dots of the last part escaped.

    WebDataset ends a key at the first of them. Two ids never share a key, whatever else is packed.

    >>> packed_key("a.b/17.png")
    'a.b/17%2Epng'
    """
    folder, slash, name = item_id.rpartition("/")
    return folder + slash + name.replace("%", "%25").replace(".", "%2E")


def _reached(archive: Any, file: IO[bytes]) -> int:
    """Where the next header was to be, or where the data end before it."""
    return min(archive.offset, file.tell()) if archive else 0


def _groups(archive: Any, wanted: set[str]) -> Iterator[_Group]:
    group: _Group | None = None
    while (member := archive.next()) is not None:
        archive.members = []  # it would keep every header of the shard
        folder, slash, name = member.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        if member.isdir() or not stem or not dot:
            continue
        key, extension = folder + slash + stem, extension.lower()
        if group is not None and (key != group.key or extension in group.extensions):
            yield group
            group = None
        group = group or _Group(key)
        _add(group, archive, member, extension, wanted)
    if group is not None:
        yield group


def _add(
    group: _Group, archive: tarfile.TarFile, member: tarfile.TarInfo, extension: str, wanted: set[str]
) -> None:
    group.extensions.add(extension)
    is_image = extension.rpartition(".")[2] in IMAGE_EXTENSIONS
    if is_image and not member.isreg():
        group.not_a_file = member.name
    elif is_image and (group.image_extension is None or _rank(extension) < _rank(group.image_extension)):
        group.image_extension, group.image = extension, _content(archive, member)
    elif member.isreg() and (extension in wanted or (extension == "json" and "%" in group.key)):
        group.texts[extension] = _content(archive, member)


def _rank(extension: str) -> tuple[int, str]:
    return extension.count("."), extension


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise _DamagedError(f"the archive is cut in member {member.name!r}")
    return data


def _check_end(archive: tarfile.TarFile) -> None:
    """Raises _DamagedError if anything but zeros stands behind the end-of-archive block."""
    stream = cast(Any, archive.fileobj)
    while chunk := stream.read(1 << 20):
        if chunk.count(0) != len(chunk):
            raise _DamagedError("a block of zeros ends the archive, but data follow it,")


def _record(shard: Shard, options: SourceOptions, position: int, group: _Group) -> Record | Reject:
    if group.not_a_file:
        no_image = f"{group.not_a_file!r} is a link or a special file, not an image"
    else:
        no_image = f"no image member: this record has only {', '.join(sorted(group.extensions))}"
    fields, problem = _fields(group, options)
    packed = fields.get(PACKED_ID)
    key = packed if isinstance(packed, str) and packed_key(packed) == group.key else group.key
    stored = Stored(
        key.encode("utf-8", "surrogateescape"),
        group.image,
        fields,
        no_image=no_image,
        problem=problem if options.fields else None,
    )
    return build(shard, options, position, stored)


def _fields(group: _Group, options: SourceOptions) -> tuple[dict[str, Any], str | None]:
    """The metadata of a record, and what is wrong with its `.json` member, if anything."""
    fields: dict[str, Any] = {name: group.texts[name] for name in TEXT_MEMBERS if name in group.texts}
    if "json" not in group.texts:
        lacking = ", ".join(name for name in options.fields if name not in TEXT_MEMBERS)
        return fields, f"no .json member, which is to hold {lacking}" if lacking else None
    try:
        stored, repeated = read_json(group.texts["json"])
    except (ValueError, RecursionError) as error:
        return fields, f"the .json member cannot be read: {error}"
    if not isinstance(stored, dict):
        return fields, f"the .json member is to be an object. Received: {type(stored).__name__}"
    if twice := [name for name in options.fields if name in repeated]:
        return fields, f"the .json member has {twice[0]!r} twice"
    return fields | stored, None
