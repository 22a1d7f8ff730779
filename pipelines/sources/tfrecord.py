"""TFRecord shards of `tf.train.Example`, plain or gzip, read without TensorFlow.

The framing (https://www.tensorflow.org/tutorials/load_data/tfrecord): length as uint64, its masked CRC-32C as
uint32, the data, its masked CRC-32C as uint32, all little-endian.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple, cast

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from .base import MOST_METADATA, Shard, SourceOptions
from .fields import Stored, build, damage
from .large_example import UnfitExampleError, split
from .opening import open_listed
from .records import Record, Reject
from .types import is_list

IMAGE_FIELD = "image/encoded"
ID_FIELDS = ("image/filename", "id")
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_PIECE = 1 << 20


def _example_class() -> Any:
    """`tensorflow.Example` as tensorflow/core/example/*.proto define it, in a descriptor pool of its own."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def message(parent: Any, name: str, *fields: tuple[str, int, int, str]) -> Any:
        made = parent.add(name=name)
        for number, (field, label, kind, type_name) in enumerate(fields, 1):
            made.field.add(name=field, number=number, label=label, type=kind, type_name=type_name or None)
        return made

    one, many, nested = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
    message(file.message_type, "BytesList", ("value", many, kinds.TYPE_BYTES, ""))
    message(file.message_type, "FloatList", ("value", many, kinds.TYPE_FLOAT, ""))
    message(file.message_type, "Int64List", ("value", many, kinds.TYPE_INT64, ""))
    lists = [
        (f"{kind.lower()}_list", one, nested, f".tensorflow.{kind}List")
        for kind in ("Bytes", "Float", "Int64")
    ]
    feature = message(file.message_type, "Feature", *lists)
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message(
        file.message_type, "Features", ("feature", many, nested, ".tensorflow.Features.FeatureEntry")
    )
    entry = message(
        features.nested_type,
        "FeatureEntry",
        ("key", one, kinds.TYPE_STRING, ""),
        ("value", one, nested, ".tensorflow.Feature"),
    )
    entry.options.map_entry = True
    message(file.message_type, "Example", ("features", one, nested, ".tensorflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


Example = _example_class()
"""`tf.train.Example`, the same on the wire."""


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and offset as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """One record as it stands in the file."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _CHECKSUM.pack(masked_crc(length)), data, _CHECKSUM.pack(masked_crc(data))))


def is_header(head: bytes) -> bool:
    """Whether 12 bytes are a record's length and that length's checksum."""
    return len(head) == _HEADER.size and masked_crc(head[:8]) == _CHECKSUM.unpack(head[8:])[0]


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The records of one file, in order; see `lookalike.sources.read_shard`.

    A record whose data fail their checksum, or whose length is above the limit, is rejected alone. A file cut
    exactly between two records cannot be told from a whole one: the format has no end mark.
    """
    with open_listed(shard.files[0]) as raw:
        head = raw.read(_HEADER.size)
        if not head:
            yield damage(shard, 0, 0, "empty file")
            return
        raw.seek(0)
        # A first record of 0x8b1f bytes begins like gzip; its checksum tells.
        unpacked = head.startswith(b"\x1f\x8b") and not is_header(head)
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if unpacked else raw
        position = offset = 0
        while True:
            try:
                found = _next(file, position, None if unpacked else shard.size - offset, options)
            except _DamagedError as error:
                yield damage(shard, position, offset, str(error), unpacked=unpacked)
                return
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                reason = f"gzip data are damaged or cut ({error})"
                yield damage(shard, position, offset, reason, unpacked=True)
                return
            if found is None:
                return
            if isinstance(found.data, str):
                yield Reject(None, position, "read", f"{found.data}, for the record at byte {offset}")
            else:
                yield _record(shard, options, position, found.data)
            position += 1
            offset += _HEADER.size + found.length + _CHECKSUM.size


class _DamagedError(Exception):
    pass


class _Frame(NamedTuple):
    """The data of a record of so many bytes, or why it has none."""

    length: int
    data: bytes | str


def _next(file: IO[bytes], position: int, left: int | None, options: SourceOptions) -> _Frame | None:
    """The next record; None at the end of the file.

    Args:
        file: where a record begins.
        position: of the record.
        left: bytes of the file from there, if a part of it can be passed over by `seek`; None if it has to be read.
        options: how it is read.
    """
    header = file.read(_HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise _DamagedError(f"the file is cut in the header of record {position}")
    if not is_header(header):
        raise _DamagedError(f"length checksum of record {position} is wrong")
    length = _HEADER.unpack(header)[0]
    is_too_large = length > options.max_bytes
    is_cut = left is not None and _HEADER.size + length + _CHECKSUM.size > left
    if not is_cut and is_too_large:
        is_cut = not _skip(file, length, by_seek=left is not None)
    data = b"" if is_cut or is_too_large else file.read(length)
    footer = b"" if is_cut else file.read(_CHECKSUM.size)
    if len(footer) < _CHECKSUM.size:
        raise _DamagedError(f"the file is cut in record {position}, which is to be {length} bytes long,")
    if is_too_large:
        return _Frame(length, options.too_large(length))
    if masked_crc(data) != _CHECKSUM.unpack(footer)[0]:
        return _Frame(length, "data checksum is wrong")
    return _Frame(length, data)


def _skip(file: IO[bytes], size: int, *, by_seek: bool) -> bool:
    """Passes over so many bytes; False if there are fewer."""
    if by_seek:
        file.seek(size, os.SEEK_CUR)
        return True
    while size and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
    return not size


def _record(shard: Shard, options: SourceOptions, position: int, data: bytes) -> Record | Reject:
    image_field = options.image_field or IMAGE_FIELD
    images: list[bytes] | None = None
    try:
        if len(data) > MOST_METADATA:
            data, images = split(data, image_field)
        features = Example.FromString(data).features.feature
    except UnfitExampleError as error:
        return Reject(None, position, "read", str(error))
    except DecodeError:
        return Reject(None, position, "read", "not a tf.train.Example")
    if images is None and image_field in features:
        images = features[image_field].bytes_list.value
    id_fields = (options.id_field,) if options.id_field else ID_FIELDS
    key = next((value for name in id_fields if (value := _value(features, name)) is not None), None)
    fields = {
        name: _value(features, name, is_list(options.metadata.get(name, ""))) for name in options.fields
    }
    image, no_image = _image(images, image_field)
    no_key = f"feature {' or '.join(map(repr, id_fields))}, the id, is missing"
    return build(shard, options, position, Stored(key, image, fields, no_key, no_image))


def _image(values: Sequence[bytes] | None, name: str) -> tuple[bytes | None, str]:
    if values is None:
        return None, f"feature {name!r}, the image, is missing"
    if len(values) != 1:
        return None, f"feature {name!r}, the image, is to hold one value of bytes. Received: {len(values)}"
    return values[0], ""


def _value(features: Any, name: str, as_list: bool = False) -> Any:
    """The one value of a feature; None if there is none, a list if there are several or `as_list`."""
    if name not in features:
        return None
    kind = features[name].WhichOneof("kind")
    if kind is None:
        return None
    values = getattr(features[name], kind).value
    if as_list or len(values) > 1:
        return list(values)
    return values[0] if values else None
