"""Packs a folder of images into TFRecord, WebDataset or Parquet shards: same input, same bytes."""

from __future__ import annotations

import functools
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from . import folder, tfrecord
from .base import FILE_FORMATS, IMAGE_EXTENSIONS, MAX_BYTES
from .cuts import cut
from .fields import escape
from .pack_note import NOTE, read_note, write_note
from .roots import relative_path
from .walk import list_corpus

KEY_COLUMNS = ("path", "file", "file_name", "filename", "image", "item_id", "id")
"""What the column of a metadata file may be called that holds the image's relative path; the first counts."""

_ROW_GROUP_ROWS = 256
_ROW_GROUP_BYTES = 64 << 20


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
        rows_without_image: metadata rows that name no image of the folder.
        images_without_row: images that no metadata row names; 0 if there is no metadata file.
    """

    images: int
    bytes: int
    shards: tuple[str, ...]
    unchanged: int
    removed: int
    skipped: tuple[tuple[str, str], ...]
    left_out: Mapping[str, int]
    rows_without_image: int
    images_without_row: int


@dataclass(frozen=True, slots=True)
class _Image:
    """An image to be packed; `key` is its name in a tar, without an extension."""

    item_id: str
    key: str
    file: FileInfo


@dataclass(frozen=True, slots=True)
class _Metadata:
    """A metadata file: `columns` by name, all of one length, and the row of each image."""

    schema: pa.Schema
    columns: Mapping[str, list[Any]]
    rows: Mapping[str, int]

    def of(self, item_id: str) -> dict[str, Any]:
        row = self.rows.get(item_id)
        return {name: None if row is None else values[row] for name, values in self.columns.items()}


_Rows = Iterator[tuple[_Image, bytes, dict[str, Any]]]


def pack(
    images: str,
    out: str,
    *,
    format: str,
    images_per_shard: int = 1000,
    metadata: str | None = None,
) -> PackSummary:
    """Writes the images below a folder, sorted by relative path, into shards `shard-5e0f61d2c8a4.*`.

    Where they are cut and how they are called depends on the images' paths (see `cuts.cut`), so that an image
    that comes or goes changes one shard, or few. Packed into the same folder again, only shards whose bytes
    changed are written, and then those of the earlier pack that are no longer made are removed. A pack that
    was interrupted is completed by the next; until then every image that the earlier one held is there.

    The images' bytes are copied as they are. The relative path is the id: TFRecord feature `image/filename`,
    `item_id` in a WebDataset's `.json`, Parquet column `item_id`. TFRecord stores floats of metadata in 32
    bits, about seven digits; the other formats keep them exactly.

    Args:
        images: the folder, local or a URL.
        out: the folder of the shards, empty or holding just shards of an earlier pack.
        format: one of `FILE_FORMATS`.
        images_per_shard: the mean number of images in a shard; see `cuts.least_size` and `greatest_size`.
        metadata: a CSV file with a header, or JSON Lines (`.jsonl`, `.ndjson`, `.json`), with the images'
            relative paths in the first column there is of `KEY_COLUMNS`.

    Raises:
        LookalikeError: for an unknown format, a folder without images, a metadata file that cannot be used,
            or an `out` that holds something else.
        OSError: if a shard cannot be written.
    """
    if format not in FILE_FORMATS:
        raise LookalikeError(f"format: expected one of {', '.join(FILE_FORMATS)}. Received: {format!r}")
    if images_per_shard < 1:
        raise LookalikeError(f"images_per_shard: expected 1 or more. Received: {images_per_shard}")
    images, out = images.removeprefix("file://"), out.removeprefix("file://")
    if not files.is_folder(images):
        raise LookalikeError(f"images: expected a folder. Received: {images}")
    listed = [(relative_path(images, file.path), file) for file in list_corpus(images, follow_links=False)]
    chosen, left_out = folder.choose(listed)
    plan, skipped = _plan(sorted((relative_path(images, file.path), file) for file in chosen))
    if not plan:
        raise LookalikeError(f"No image in the folder {images}")
    packing = _PACKINGS[format]
    table = _read_metadata(metadata, packing.reserved) if metadata else _Metadata(pa.schema([]), {}, {})
    parts = {
        f"shard-{name}{packing.extension}": plan[part]
        for name, part in cut([image.item_id for image in plan], images_per_shard)
    }
    present = {relative_path(out, file.path) for file in files.list_files(out)}
    earlier = read_note(out) if NOTE in present else frozenset()
    _check_out(out, present, parts.keys() | earlier)

    totals: Counter[str] = Counter()
    unchanged = 0
    write_note(out, parts.keys() | earlier)
    # From the last to the first: a shard always begins with the path that names it, so that what it loses is in
    # one behind it, which is there before.
    for shard, part in reversed(parts.items()):
        write = functools.partial(packing.write, _rows(part, table, totals, skipped), table.schema)
        unchanged += not files.write_if_changed(files.join(out, shard), write)
    removed = sorted((earlier & present) - parts.keys())
    files.delete(files.join(out, shard) for shard in removed)
    write_note(out, parts)
    named = sum(image.item_id in table.rows for image in plan)
    return PackSummary(
        images=totals["images"],
        bytes=totals["bytes"],
        shards=tuple(files.join(out, shard) for shard in parts),
        unchanged=unchanged,
        removed=len(removed),
        skipped=tuple(sorted(skipped)),
        left_out=dict(sorted(left_out.items())),
        rows_without_image=len(table.rows) - named,
        images_without_row=len(plan) - named if metadata else 0,
    )


def _plan(found: list[tuple[str, FileInfo]]) -> tuple[list[_Image], list[tuple[str, str]]]:
    plan, skipped = [], []
    used: set[str] = set()
    for path, file in found:
        if escape(path) != path:
            skipped.append((escape(path), "the file's name is not UTF-8"))
            continue
        if file.problem or file.size > MAX_BYTES:
            skipped.append((path, file.problem or f"{file.size:,} bytes, more than {MAX_BYTES:,}"))
            continue
        pure = PurePosixPath(path)
        base = key = str(pure.with_name(pure.stem.replace(".", "_")))
        number = 1
        while key in used:
            number += 1
            key = f"{base}_{number}"
        used.add(key)
        plan.append(_Image(path, key, file))
    return plan, skipped


def _check_out(out: str, present: Iterable[str], own: Set[str]) -> None:
    foreign = sorted(path for path in present if path not in own and folder.extension(path) != "hidden")
    if foreign:
        raise LookalikeError(
            f"Expected {out} to be empty or to hold just shards that are to be written or that an earlier pack noted "
            f"in {NOTE}: remove the folder or name another. Received: {escape(foreign[0])}"
        )


def _rows(
    part: list[_Image], table: _Metadata, totals: Counter[str], skipped: list[tuple[str, str]]
) -> _Rows:
    for image in part:
        try:
            data = files.read_bytes(image.file.path)
        except OSError as error:
            skipped.append((image.item_id, error.strerror or str(error)))
        else:
            totals.update(images=1, bytes=len(data))
            yield image, data, table.of(image.item_id)


def _write_tfrecord(rows: _Rows, schema: pa.Schema, file: IO[bytes]) -> None:
    for image, data, fields in rows:
        example = tfrecord.Example()
        features = example.features.feature
        features[tfrecord.IMAGE_FIELD].bytes_list.value.append(data)
        features[tfrecord.ID_FIELDS[0]].bytes_list.value.append(image.item_id.encode())
        for name, value in fields.items():
            if isinstance(value, str):
                features[name].bytes_list.value.append(value.encode())
            elif isinstance(value, float):
                features[name].float_list.value.append(value)
            elif value is not None:
                features[name].int64_list.value.append(int(value))
        file.write(tfrecord.frame(example.SerializeToString(deterministic=True)))


def _write_webdataset(rows: _Rows, schema: pa.Schema, file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for image, data, fields in rows:
            described = json.dumps({"item_id": image.item_id, **fields}, ensure_ascii=False).encode()
            extension = folder.extension(image.item_id)
            # A member without an extension is told by its content.
            name = f"{image.key}.{extension}" if extension in IMAGE_EXTENSIONS else image.key
            for member_name, content in ((name, data), (f"{image.key}.json", described)):
                member = tarfile.TarInfo(member_name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _write_parquet(rows: _Rows, schema: pa.Schema, file: IO[bytes]) -> None:
    schema = pa.schema(
        [pa.field("item_id", pa.string(), False), pa.field("image", pa.binary(), False), *schema]
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
    write: Callable[[_Rows, pa.Schema, IO[bytes]], None]


_PACKINGS: dict[str, _Packing] = {
    "tfrecord": _Packing(".tfrecord", (tfrecord.IMAGE_FIELD, tfrecord.ID_FIELDS[0]), _write_tfrecord),
    "webdataset": _Packing(".tar", ("item_id",), _write_webdataset),
    "parquet": _Packing(".parquet", ("item_id", "image"), _write_parquet),
}


def _read_metadata(path: str, reserved: Iterable[str]) -> _Metadata:
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        raise LookalikeError(f"metadata: expected a CSV or JSON Lines file. Received: {path}") from None
    is_json = path.lower().endswith((".jsonl", ".ndjson", ".json"))
    table = _read_json_lines(path, data) if is_json else _read_csv(path, data)
    key = _key_column(path, table.column_names)
    rows: dict[str, int] = {}
    for row, name in enumerate(table.column(key).to_pylist()):
        if not isinstance(name, str):
            raise LookalikeError(
                f"{path}: expected text in column {key!r}. Received: {name!r} in row {row + 1}"
            )
        name = name.removeprefix("./")
        if name in rows:
            raise LookalikeError(
                f"{path}: column {key!r} names {name!r} twice, in rows {rows[name] + 1} and {row + 1}"
            )
        rows[name] = row
    table = table.drop_columns([key])
    for name in table.column_names:
        if name in reserved or table.column_names.count(name) > 1:
            raise LookalikeError(f"{path}: the column name {name!r} is taken; give that column another name")
    schema = pa.schema([(field.name, _stored_type(path, field)) for field in table.schema])
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return _Metadata(schema, columns, rows)


def _key_column(path: str, names: list[str]) -> str:
    for name in KEY_COLUMNS:
        if name in names:
            return name
    raise LookalikeError(
        f"{path}: expected a column of relative paths, named one of {', '.join(KEY_COLUMNS)}. "
        f"Received: {', '.join(names) or 'no column'}"
    )


def _stored_type(path: str, field: pa.Field) -> pa.DataType:
    if pa.types.is_null(field.type):
        return pa.string()
    if field.type in (pa.string(), pa.int64(), pa.float64(), pa.bool_()):
        return field.type
    raise LookalikeError(
        f"{path}: expected text, whole numbers of 64 bits, floats or booleans in column {field.name!r}. "
        f"Received: {field.type}"
    )


def _read_csv(path: str, data: bytes) -> pa.Table:
    """Types are told from the whole file; keys, dates and times stay text, empty text stays empty text."""
    block = pa_csv.ReadOptions(use_threads=False, block_size=min(max(len(data), 1) + 1, 2**31 - 1))
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    try:
        inferred = pa_csv.read_csv(io.BytesIO(data), read_options=block, parse_options=parse).schema
        key = _key_column(path, inferred.names)
        text = {f.name: pa.string() for f in inferred if f.name == key or pa.types.is_temporal(f.type)}
        convert = pa_csv.ConvertOptions(column_types=text)
        return pa_csv.read_csv(
            io.BytesIO(data), read_options=block, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowException, ValueError) as error:
        raise LookalikeError(f"{path}: expected CSV with a header, in UTF-8. Received: {error}") from None


def _read_json_lines(path: str, data: bytes) -> pa.Table:
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LookalikeError(f"{path}: expected JSON in line {number}. Received: {error}") from None
        if not isinstance(row, dict):
            raise LookalikeError(f"{path}: expected an object in line {number}. Received: {row!r}")
        rows.append(row)
    arrays = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            arrays[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise LookalikeError(
                f"{path}: expected values of one type in field {name!r}. Received: {error}"
            ) from None
    return pa.table(arrays)


def pack_report(summary: PackSummary, out: str) -> str:
    """The summary of packing a folder."""
    lines = [
        f"images       {summary.images:,} ({summary.bytes / 1e6:,.1f} MB) in {len(summary.shards):,} shards",
        f"shards       {out}: {len(summary.shards) - summary.unchanged:,} written, {summary.unchanged:,} unchanged, "
        f"{summary.removed:,} removed",
    ]
    lines += [f"skipped      {path}: {reason}" for path, reason in summary.skipped]
    if summary.left_out:
        others = ", ".join(f"{count:,} {extension}" for extension, count in summary.left_out.items())
        lines.append(f"left out     files that are no images: {others}")
    if summary.rows_without_image or summary.images_without_row:
        lines.append(
            f"metadata     {summary.rows_without_image:,} rows without an image, "
            f"{summary.images_without_row:,} images without a row"
        )
    return "\n".join(lines)
