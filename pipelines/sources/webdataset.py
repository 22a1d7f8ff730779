"""WebDataset shards: a tar, plain or gzip, whose neighbouring members with the same key form one record."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any, cast

from .base import IMAGE_EXTENSIONS, MOST_METADATA, Shard, SourceOptions
from .content import HEAD, is_image
from .fields import Stored, build, damage, escape, read_json
from .opening import open_listed
from .records import DUPLICATE, Record, Reject
from .tar import DamagedError, Member, Tar

TEXT_MEMBERS = ("txt", "cls")
"""Members that serve as metadata fields of the same name, where the `.json` has none of that name."""
PACKED_ID = "item_id"
"""Field of the `.json` in which packing writes the id."""
_MOST_NAMES = 5


@dataclass(slots=True)
class _Image:
    """A member that may be the image; `content` is None if it need not be read, `problem` says why it cannot be."""

    name: str
    extension: str
    size: int = 0
    content: bytes | None = None
    problem: str = ""

    @property
    def is_plain(self) -> bool:
        return "." not in self.extension


@dataclass(slots=True)
class _Group:
    """The members of one record, as far as they were read."""

    key: str
    extensions: set[str] = field(default_factory=set)
    images: list[_Image] = field(default_factory=list)
    readable: int = 0
    plain: int = 0
    chosen: _Image | None = None
    texts: dict[str, bytes] = field(default_factory=dict)
    problem: str | None = None

    def add(self, image: _Image) -> None:
        """Adds an image. The record's is the only one, or the only one whose extension has no dot, if there is one."""
        self.images.append(image)
        if image.problem:
            return
        self.readable += 1
        self.plain += image.is_plain
        before = self.chosen
        if self.readable == 1 or (image.is_plain and self.plain == 1):
            self.chosen = image
        elif image.is_plain or not (before and before.is_plain):
            self.chosen = None
        if before and before is not self.chosen:
            before.content = None


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The records of one tar, in order; see `lookalike.sources.read_shard`.

    The key is a member's path up to the first dot of its last part, its extension what follows. A record
    ends where the key changes or an extension comes again. The image is the member whose extension is
    `options.image_field`. Without that option it is the one member with an image's extension, or, of several, the
    only one whose extension has no dot (`jpg` beside `seg.png`); the others come as rejects of their own, with stage
    `duplicate`. Where none is plainer than the others (`left.png` and `right.png`, `jpg` and `png`) each comes as
    a reject. A member without an extension is a record if its content is an image, or cannot be told, as that of
    a link; else, and if its name begins with a dot, it belongs to no record. A record that damage may have cut is
    counted as the reject that ends the shard.

    The id is the key, unless the key is `packed_key` of what the `.json` has as `item_id`: then it is that.
    """
    with open_listed(shard.files[0]) as raw:
        unpacked = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if unpacked else raw
        tar = Tar(file, None if unpacked else shard.size)
        position = 0
        try:
            for group in _groups(tar, options):
                for entry in _entries(shard, options, position, group):
                    yield entry
                    position += 1
            tar.check_end()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            reason = f"gzip data are damaged or cut ({error})"
            yield damage(shard, position, min(tar.offset, file.tell()), reason, unpacked=True)
        except DamagedError as error:
            yield damage(shard, position, min(tar.offset, file.tell()), str(error), unpacked=unpacked)


def packed_key(item_id: str) -> str:
    """The key under which packing stores an image: its id, with the dots of the last part escaped.

    WebDataset ends a key at the first of them. Two ids never share a key, whatever else is packed.

    >>> packed_key("a.b/17.png")
    'a.b/17%2Epng'
    """
    folder, slash, name = item_id.rpartition("/")
    return folder + slash + name.replace("%", "%25").replace(".", "%2E")


def _is_packed(key: str) -> bool:
    """Whether a key is `packed_key` of another text."""
    folder, slash, name = key.rpartition("/")
    item_id = folder + slash + name.replace("%2E", ".").replace("%25", "%")
    return item_id != key and packed_key(item_id) == key


def _groups(tar: Tar, options: SourceOptions) -> Iterator[_Group]:
    wanted = options.image_field.lower().removeprefix(".") if options.image_field else None
    texts = {*TEXT_MEMBERS, "json"} if options.fields else set()
    group: _Group | None = None
    for member in tar:
        folder, slash, name = member.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        if member.kind == "folder" or not stem:
            continue
        head = b""
        if not dot and (wanted or not (member.problem or is_image(head := tar.read(HEAD)))):
            continue
        key, extension = folder + slash + stem, extension.lower()
        if group is not None and (key != group.key or extension in group.extensions):
            yield group
            group = None
        group = group or _Group(key)
        group.extensions.add(extension)
        if extension == wanted or (
            not wanted and (not dot or extension.rpartition(".")[2] in IMAGE_EXTENSIONS)
        ):
            _add_image(group, tar, member, extension, head, options.max_bytes)
        elif extension in texts or (extension == "json" and "%" in key):  # which may be an id that was packed
            _add_text(group, tar, member, extension)
    if group is not None:
        yield group


def _add_image(group: _Group, tar: Tar, member: Member, extension: str, head: bytes, max_bytes: int) -> None:
    """Notes an image, and reads it if it is the one to be chosen so far; no other stays in memory."""
    problem = f"{member.name!r} {member.problem}" if member.problem else ""
    image = _Image(member.name, extension, member.size, problem=problem)
    group.add(image)
    if group.chosen is image and member.size <= max_bytes:
        image.content = head + tar.read()


def _add_text(group: _Group, tar: Tar, member: Member, extension: str) -> None:
    if member.problem:
        group.problem = f"{member.name!r} {member.problem}"
    elif member.size > MOST_METADATA:
        group.problem = (
            f"{member.name!r} is {member.size:,} bytes, more than the {MOST_METADATA:,} that are read"
        )
    else:
        group.texts[extension] = tar.read()


def _entries(shard: Shard, options: SourceOptions, position: int, group: _Group) -> Iterator[Record | Reject]:
    """The record, and the images that are not its own; one reject for each image where none is the record's."""
    chosen = group.chosen
    others = [image for image in group.images if image is not chosen]
    if chosen is None and len(others) > 1:
        names = _listed(image.extension for image in others)
        for number, image in enumerate(others):
            error = image.problem or (
                f"{image.name!r} is one of {len(others)} images of the key {group.key!r}: {names}. A key ends at the "
                f"first dot of a name: give each image one of its own, or set corpus.image_field: {image.extension}"
            )
            yield Reject(escape(image.name), position + number, "read", error)
        return
    if chosen is not None:
        no_image = ""
        size = chosen.size + sum(map(len, group.texts.values()))
        content = chosen.content
        if size > options.max_bytes:
            content, no_image = None, options.too_large(size)
    else:
        content = None
        no_image = others.pop().problem if others else _without_image(group, options)
    fields, problem = _fields(group, options)
    packed = fields.get(PACKED_ID)
    key: str | None = packed if isinstance(packed, str) and packed_key(packed) == group.key else group.key
    no_key = ""
    if problem and _is_packed(group.key) and (group.problem or "json" in group.texts):
        key, no_key = (
            None,
            f"the id of {group.key!r} stands in its .json member, which cannot be read: {problem}",
        )
    stored = Stored(
        key.encode("utf-8", "surrogateescape") if key else None,
        content,
        fields,
        no_key,
        no_image=no_image,
        problem=problem if options.fields else None,
    )
    yield build(shard, options, position, stored)
    taken = chosen.extension if chosen else ""
    for number, image in enumerate(others, 1):
        error = image.problem or (
            f"{image.name!r} is a further image of the key {group.key!r}, whose {taken} is taken; "
            f"corpus.image_field: {image.extension} takes this one"
        )
        stage = "read" if image.problem else DUPLICATE
        yield Reject(escape(image.name), position + number, stage, error)


def _without_image(group: _Group, options: SourceOptions) -> str:
    sought = "image member" if options.image_field is None else f"member {options.image_field}"
    return f"no {sought}: this record has only {_listed(sorted(group.extensions))}"


def _listed(names: Iterable[str]) -> str:
    """The first names: there may be thousands."""
    first = list(islice(names, _MOST_NAMES + 1))
    return ", ".join(first if len(first) <= _MOST_NAMES else [*first[:_MOST_NAMES], "..."])


def _fields(group: _Group, options: SourceOptions) -> tuple[dict[str, Any], str | None]:
    """The metadata of a record, and what is wrong with its `.json` member, if anything."""
    fields: dict[str, Any] = {name: group.texts[name] for name in TEXT_MEMBERS if name in group.texts}
    if group.problem:
        return fields, group.problem
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
