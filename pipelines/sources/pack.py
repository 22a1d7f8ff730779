"""Packs a folder of images into TFRecord, WebDataset or Parquet shards: same input, same bytes."""

from __future__ import annotations

import functools
import io
import json
import math
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from os import PathLike, fspath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable_lines

from ..filesystem import files
from ..filesystem.encoding import require_utf8
from ..filesystem.files import FileInfo
from . import folder, tfrecord, webdataset
from .base import FILE_FORMATS, IMAGE_EXTENSIONS, MAX_BYTES, OUR_COLUMNS
from .cuts import cut
from .fields import escape
from .metadata_table import NO_METADATA, MetadataTable, read_metadata
from .pack_note import NOTE, read_note, write_note
from .roots import relative_path
from .types import plain
from .walk import list_corpus

_ROW_GROUP_ROWS = 256
_ROW_GROUP_BYTES = 64 << 20
_LONG_KEY = 1000
"""Of letters; YAML wants a longer key marked."""


@dataclass(frozen=True, slots=True)
class PackSummary:
    """What `pack` wrote, and what it did not.

    Attributes:
        images: images written.
        bytes: bytes of those images.
        shards: the paths of the shards, in the order of the images.
        unchanged: how many of them were there with the same bytes, and keep their time of change.
        removed: shards of an earlier pack that are no longer made.
        skipped: (relative path, reason) of each image that could not be packed; invalid bytes are escaped.
        left_out: files that are no images, counted by extension (`hidden` for hidden ones).
        metadata: name -> type of each field that was packed.
        rows_without_image: metadata rows that name no image of the folder.
        first_without_image: the first few of their names.
        images_without_row: images that no metadata row names; 0 if there is no metadata file.
        encoded_otherwise: of the rows that name no image, those that would if accents were encoded in one way.
    """

    images: int
    bytes: int
    shards: tuple[str, ...]
    unchanged: int
    removed: int
    skipped: tuple[tuple[str, str], ...]
    left_out: Mapping[str, int]
    metadata: Mapping[str, str]
    rows_without_image: int
    first_without_image: tuple[str, ...]
    images_without_row: int
    encoded_otherwise: int = 0


@dataclass(frozen=True, slots=True)
class _Image:
    """An image to be packed."""

    item_id: str
    file: FileInfo


_Rows = Iterator[tuple[_Image, bytes, dict[str, Any]]]


def pack(
    images: str | PathLike[str],
    out: str | PathLike[str],
    *,
    format: str = "tfrecord",
    images_per_shard: int = 1000,
    metadata: str | PathLike[str] | None = None,
    types: Mapping[str, str] | None = None,
) -> PackSummary:
    """Writes the images below a folder, sorted by relative path, into shards `shard-5e0f61d2c8a4.*`.

    Where they are cut and how they are called depends on the images' paths (see `cuts.cut`), so that an image
    that comes or goes changes one shard, or few. Packed into the same folder again, only shards whose bytes
    changed are written, and then those of the earlier pack that are no longer made are removed. A pack that
    was interrupted is completed by the next; until then every image that the earlier one held is there.

    The images' bytes are copied as they are. The relative path is the id, in every format as in the folder itself:
    TFRecord feature `image/filename`, `item_id` in a WebDataset's `.json` (see `webdataset.packed_key`), Parquet
    column `item_id`. Metadata are stored
    exactly; in TFRecord what is no text, bool or int64 is stored as text, as a float there has 32 bits.

    >>> import lookalike
    >>> done = lookalike.pack("photos", "packed", format="webdataset")
    >>> done.images, len(done.shards), done.skipped
    (5, 1, ())

    Args:
        images: the folder, local or a URL.
        out: the folder of the shards, empty or holding just shards of an earlier pack.
        format: one of `FILE_FORMATS`.
        images_per_shard: the mean number of images in a shard; see `cuts.least_size` and `greatest_size`.
        metadata: a table of CSV or JSON Lines; see `metadata_table.read_metadata`.
        types: column of it -> type, one of `types.TYPES`.

    Raises:
        LookalikeError: for an unknown format, a folder without images, a metadata file that cannot be used,
            or an `out` that holds something else.
        OSError: if a shard cannot be written.
    """
    if format not in FILE_FORMATS:
        raise LookalikeError(f"format: expected one of {', '.join(FILE_FORMATS)}. Received: {format!r}")
    if images_per_shard < 1:
        raise LookalikeError(f"images_per_shard: expected 1 or more. Received: {images_per_shard}")
    require_utf8()
    images, out = (fspath(path).removeprefix("file://") for path in (images, out))
    if not files.is_folder(images):
        raise LookalikeError(f"images: expected a folder. Received: {images}")
    listed = [(relative_path(images, file.path), file) for file in list_corpus(images, follow_links=False)]
    chosen, left_out = folder.choose(listed)
    plan, skipped = _plan(sorted((relative_path(images, file.path), file) for file in chosen))
    if not plan:
        raise LookalikeError(f"No image in the folder {images}")
    packing = _PACKINGS[format]
    table = read_metadata(fspath(metadata), types or {}, packing.reserved) if metadata else NO_METADATA
    parts = {
        f"shard-{name}{packing.extension}": plan[part]
        for name, part in cut([image.item_id for image in plan], images_per_shard)
    }
    present = {relative_path(out, file.path) for file in files.list_files(out)}
    earlier = read_note(out) if NOTE in present else frozenset()
    _check_out(out, present, earlier)

    totals: Counter[str] = Counter()
    unchanged = 0
    write_note(out, parts.keys() | earlier)
    # From the last to the first: a shard always begins with the path that names it, so that what it loses is in
    # one behind it, which is there before.
    for shard, part in reversed(parts.items()):
        write = functools.partial(packing.write, _rows(part, table, totals, skipped), table)
        unchanged += not files.write_if_changed(files.join(out, shard), write)
    removed = sorted((earlier & present) - parts.keys())
    files.delete_files(files.join(out, shard) for shard in removed)
    write_note(out, parts)
    ids = {image.item_id for image in plan}
    lone = [path for path in table.rows if path not in ids]
    composed = {unicodedata.normalize("NFC", path) for path in ids} if lone else set()
    return PackSummary(
        images=totals["images"],
        bytes=totals["bytes"],
        shards=tuple(files.join(out, shard) for shard in parts),
        unchanged=unchanged,
        removed=len(removed),
        skipped=tuple(sorted(skipped)),
        left_out=dict(sorted(left_out.items())),
        metadata=table.types,
        rows_without_image=len(lone),
        first_without_image=tuple(lone[:3]),
        images_without_row=len(ids - table.rows.keys()) if metadata else 0,
        encoded_otherwise=sum(unicodedata.normalize("NFC", path) in composed for path in lone),
    )


def _plan(found: list[tuple[str, FileInfo]]) -> tuple[list[_Image], list[tuple[str, str]]]:
    plan, skipped = [], []
    for path, file in found:
        if escape(path) != path:
            skipped.append((escape(path), "the file's name is not UTF-8"))
        elif file.problem or file.size > MAX_BYTES:
            skipped.append((path, file.problem or f"{file.size:,} bytes, more than {MAX_BYTES:,}"))
        else:
            plan.append(_Image(path, file))
    return plan, skipped


def _check_out(out: str, present: Iterable[str], own: Set[str]) -> None:
    foreign = sorted(path for path in present if path not in own and folder.extension(path) != "hidden")
    if foreign:
        raise LookalikeError(
            f"Expected {out} to be empty or to hold just shards that an earlier pack noted in {NOTE}: name "
            f"another folder. Received: {escape(foreign[0])}"
        )


def _rows(
    part: list[_Image], table: MetadataTable, totals: Counter[str], skipped: list[tuple[str, str]]
) -> _Rows:
    for image in part:
        try:
            data = files.read_bytes(image.file.path)
        except OSError as error:
            skipped.append((image.item_id, error.strerror or str(error)))
        else:
            totals.update(images=1, bytes=len(data))
            yield image, data, table.of(image.item_id)


def _write_tfrecord(rows: _Rows, table: MetadataTable, file: IO[bytes]) -> None:
    for image, data, fields in rows:
        example = tfrecord.Example()
        features = example.features.feature
        features[tfrecord.IMAGE_FIELD].bytes_list.value.append(data)
        features[tfrecord.ID_FIELDS[0]].bytes_list.value.append(image.item_id.encode())
        for name, value in fields.items():
            feature = features[name]  # of no kind if the value is null
            values = value if isinstance(value, list) else [value]
            if value is not None and table.types[name] in ("bool", "int64", "list<int64>"):
                feature.int64_list.SetInParent()  # also if the list is empty
                feature.int64_list.value.extend(map(int, values))
            elif value is not None:
                feature.bytes_list.SetInParent()
                feature.bytes_list.value.extend(str(plain(one)).encode() for one in values)
        file.write(tfrecord.frame(example.SerializeToString(deterministic=True)))


def _write_webdataset(rows: _Rows, table: MetadataTable, file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for image, data, fields in rows:
            described = {webdataset.PACKED_ID: image.item_id}
            described |= {name: plain(value) for name, value in fields.items()}
            json_member = json.dumps(described, ensure_ascii=False, allow_nan=False).encode()
            key, kind = webdataset.packed_key(image.item_id), folder.extension(image.item_id)
            # Readers tell the image from other members by its extension.
            kind = kind if kind in IMAGE_EXTENSIONS else "jpg"
            for extension, content in ((kind, data), ("json", json_member)):
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _write_parquet(rows: _Rows, table: MetadataTable, file: IO[bytes]) -> None:
    schema = pa.schema(
        [pa.field("item_id", pa.string(), False), pa.field("image", pa.binary(), False), *table.schema]
    )
    others = [name for name in schema.names if name != "image"]
    with pq.ParquetWriter(
        file,
        schema,
        compression={name: "none" if name == "image" else "zstd" for name in schema.names},
        use_dictionary=others[1:],
        write_statistics=others,
        write_page_checksum=True,
        write_batch_size=16,  # the size of a page is looked at once a batch: a reader holds a page in memory
    ) as writer:
        for group in _row_groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _row_groups(rows: _Rows) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for image, data, fields in rows:
        group.append({"item_id": image.item_id, "image": data, **fields})
        size += len(data)
        if len(group) == _ROW_GROUP_ROWS or size >= _ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class _Packing:
    """How shards of a format are written, and which names its own fields take."""

    extension: str
    reserved: tuple[str, ...]
    write: Callable[[_Rows, MetadataTable, IO[bytes]], None]


_PACKINGS: dict[str, _Packing] = {
    "tfrecord": _Packing(".tfrecord", (tfrecord.IMAGE_FIELD, tfrecord.ID_FIELDS[0]), _write_tfrecord),
    "webdataset": _Packing(".tar", (webdataset.PACKED_ID,), _write_webdataset),
    "parquet": _Packing(".parquet", ("item_id", "image"), _write_parquet),
}


def pack_report(summary: PackSummary, out: str) -> str:
    """The summary of packing a folder."""
    lines = [
        f"images       {summary.images:,} ({summary.bytes / 1e6:,.1f} MB) in {len(summary.shards):,} shards",
        f"shards       {out}: {len(summary.shards) - summary.unchanged:,} written, {summary.unchanged:,} unchanged, "
        f"{summary.removed:,} removed",
    ]
    lines += [f"skipped      {path}: {reason}" for path, reason in summary.skipped]
    if summary.left_out:
        others = ", ".join(
            f"{count:,} {extension or 'without extension'}" for extension, count in summary.left_out.items()
        )
        lines.append(f"left out     files that are no images: {others}")
    if summary.rows_without_image or summary.images_without_row:
        lines.append(
            f"metadata     {summary.rows_without_image:,} rows without an image, "
            f"{summary.images_without_row:,} images without a row"
        )
    lines += [f"             no image is called {name!r}" for name in summary.first_without_image]
    if summary.encoded_otherwise:
        lines.append(
            f"             {summary.encoded_otherwise:,} of these rows differ from an image only in how accents are "
            f"encoded: write them as the files are called"
        )
    return printable_lines([*lines, *_for_the_job_file(summary.metadata)])


def _for_the_job_file(types: Mapping[str, str]) -> list[str]:
    """What is to stand in a job file to carry the metadata through to the results."""
    taken = [name for name in types if name in OUR_COLUMNS]
    lines = [f"metadata     {name!r} is a column of our own, and cannot be carried" for name in taken]
    if carried := {name: kind for name, kind in types.items() if name not in taken}:
        lines += ["metadata     to carry it, in the job file:", "corpus:", "  metadata:"]
        lines += [line for name, kind in carried.items() for line in _yaml_lines(name, kind)]
    return lines


def _yaml_lines(name: str, kind: str) -> list[str]:
    """A name and its type. In quotes is what a terminal does not show, and what YAML 1.2 reads as a number (`1e5`)."""
    is_plain = name.isprintable() and (name[:1].isalpha() or name.startswith("_"))
    text = yaml.safe_dump(
        name, default_style=None if is_plain else '"', allow_unicode=name.isprintable(), width=math.inf
    )
    key = str(text).split("\n")[0]
    return [f"    {key}: {kind}"] if len(key) < _LONG_KEY else [f"    ? {key}", f"    : {kind}"]
