"""The notes of many shards as columns: some 230 bytes each, where a million objects would be two gigabytes.

A note is made when it is asked for. What is the same in most notes, or follows from other columns, takes no room; a
note of which that is not true lies whole in a column of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import IO, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from .notes import COUNTS, DamagedNoteError, EmbeddedShard, parse_note, rejects_beside, rejects_of, slug

_STAGES = ("read", "decode", "network", "write")
_DIGESTS = ("digest", "sha256", "rejects_sha256")
_UNIT = 1e-4
"""Seconds; notes tell times to this."""
_MOST = 2**31 - 1
_SECONDS = tuple(f"{stage}_seconds" for stage in _STAGES)
_NAMES = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        ("token", pa.binary(16)),
        *((name, pa.binary(32)) for name in _DIGESTS),
        ("encoder", _NAMES),
        ("options", _NAMES),
        ("key", pa.binary(8)),
        *((name, pa.int32()) for name in COUNTS),
        ("reasons", pa.string()),
        ("damaged", pa.string()),
        ("bytes", pa.int64()),
        *((name, pa.int32()) for name in _SECONDS),
        ("rejects_beside", pa.bool_()),
        ("whole", pa.string()),
    ]
)
"""`key` is what distinguishes the files of shards of one name; `whole` the JSON of a note that fits no other column."""
_FORMAT, _BESIDE = (b"lookalike.notes", b"2"), b"1"
"""In the schema of a file: of the columns, and of the notes that they tell. In the first, all rejects lie beside."""
_BATCH = 4096
_ROW_GROUP = 1 << 16
_HEX = re.compile(r"([0-9a-f]{2})*")


class NoteTable(Sequence[EmbeddedShard]):
    """Notes in an order.

    Args:
        table: of `SCHEMA`.
        rows: which of its rows, in order, int64; None for all.
    """

    def __init__(self, table: pa.Table, rows: np.ndarray | None = None) -> None:
        self._table, self._rows = table, rows

    @classmethod
    def of(cls, notes: Iterable[EmbeddedShard]) -> NoteTable:
        """The same notes as columns; those of a table as they are."""
        if isinstance(notes, NoteTable):
            return notes
        coming = iter(notes)
        batches = []
        while some := list(islice(coming, _BATCH)):
            columns = zip(*map(_row, some), strict=True)
            arrays = [pa.array(c, field.type) for c, field in zip(columns, SCHEMA, strict=True)]
            batches.append(pa.record_batch(arrays, schema=SCHEMA))
        return cls(pa.Table.from_batches(batches, SCHEMA).unify_dictionaries())

    @classmethod
    def joined(cls, *parts: Iterable[EmbeddedShard]) -> NoteTable:
        """The notes of all parts, one part behind the other."""
        some = [notes for notes in map(cls.of, parts) if len(notes)]
        if len(some) == 1:
            return some[0]
        return cls(pa.concat_tables([SCHEMA.empty_table(), *(n.table for n in some)]).unify_dictionaries())

    @property
    def table(self) -> pa.Table:
        """They as a table of `SCHEMA`."""
        return self._table if self._rows is None else self._table.take(pa.array(self._rows))

    def __len__(self) -> int:
        return self._table.num_rows if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, place: int) -> EmbeddedShard: ...
    @overload
    def __getitem__(self, place: slice) -> NoteTable: ...
    def __getitem__(self, place: int | slice) -> EmbeddedShard | NoteTable:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return next(iter(self.take(np.array([range(len(self))[place]]))))

    def __iter__(self) -> Iterator[EmbeddedShard]:
        for start in range(0, len(self), _BATCH):
            if self._rows is None:
                yield from _notes(self._table.slice(start, _BATCH))
            else:
                yield from _notes(self._table.take(pa.array(self._rows[start : start + _BATCH])))

    def take(self, places: np.ndarray) -> NoteTable:
        """The notes at some places, in that order; the table is shared."""
        return NoteTable(self._table, places if self._rows is None else self._rows[places])

    def write(self, file: IO[bytes]) -> None:
        """Writes them as Parquet, row group by row group. Raises OSError."""
        write_note_table(self.table, file)


def write_note_table(table: pa.Table, file: IO[bytes]) -> None:
    """Writes columns of `SCHEMA`, and more beside them, row group by row group. Raises OSError."""
    schema = table.schema.with_metadata(dict([_FORMAT]))
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for start in range(0, len(table), _ROW_GROUP):
            writer.write_table(table.slice(start, _ROW_GROUP).replace_schema_metadata(schema.metadata))


def read_note_table(
    file: IO[bytes], path: str, more: Mapping[str, pa.DataType] | None = None
) -> tuple[NoteTable, pa.Table]:
    """What `NoteTable.write` wrote, and columns that were put beside.

    Args:
        file: Parquet.
        path: of the file, for the sentence.
        more: columns beside, name -> type, none of which has nulls.

    Raises:
        LookalikeError: if it is something else.
        OSError: if it cannot be read.
    """
    schema = pa.schema(
        [*SCHEMA, *(pa.field(name, kind, nullable=False) for name, kind in (more or {}).items())]
    )
    try:
        table = pq.read_table(file, page_checksum_verification=True, pre_buffer=False)
        version = (table.schema.metadata or {}).get(_FORMAT[0])
        if version not in (_FORMAT[1], _BESIDE):
            raise LookalikeError(f"{path} holds no notes, or those of another version")
        if version == _BESIDE:
            table = table.append_column("rejects_beside", pa.repeat(pa.scalar(True), len(table)))
        table = table.select(schema.names).cast(schema)
        table.validate(full=True)
        _check(table)
    except (pa.ArrowException, DamagedNoteError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise LookalikeError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    except OSError as error:
        if error.errno is not None:  # what Arrow finds wrong has no number, unlike what a file system reports
            raise
        raise LookalikeError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    return NoteTable(table.select(SCHEMA.names).unify_dictionaries()), table.select([*(more or {})])


def _check(table: pa.Table) -> None:
    """Raises ValueError, or another error, for a table of which notes cannot be made."""
    is_compact = table["whole"].null_count == len(table)  # as a rule, and then nothing is copied
    compact = table if is_compact else table.filter(pc.is_null(table["whole"]))
    for name in SCHEMA.names:
        if name not in ("reasons", "damaged", "whole") and compact[name].null_count:
            raise ValueError(f"{name} is null")
    for reasons in pc.unique(table["reasons"]).drop_null().to_pylist():
        if not all(isinstance(count, int) for count in json.loads(reasons).values()):
            raise ValueError(f"no counts of reasons: {reasons}")
    for whole in table["whole"].drop_null().to_pylist():
        parse_note(whole.encode(), "a note")


def _row(note: EmbeddedShard) -> tuple[Any, ...]:
    """A note in the order of `SCHEMA`."""
    row = _compact(note)
    if row is None:
        row = (note.shard, *[None] * (len(SCHEMA) - 2), json.dumps(asdict(note)))
    return row


def _compact(note: EmbeddedShard) -> tuple[Any, ...] | None:
    key = note.path.removesuffix(".parquet")[-16:]
    path = _path(note.encoder, note.shard, key)
    if note.path != path or note.rejects_path not in (rejects_of(path), rejects_beside(path)):
        return None
    try:
        texts = [note.token, *(getattr(note, name) for name in _DIGESTS), key]
        if not all(map(_HEX.fullmatch, texts)) or [len(text) for text in texts] != [32, 64, 64, 64, 16]:
            return None
        token, *digests, key_bytes = map(bytes.fromhex, texts)
        counts = [getattr(note, name) for name in COUNTS]
        seconds = [round(note.seconds[stage] / _UNIT) for stage in _STAGES]
        if note.seconds != _seconds(seconds) or not all(0 <= n <= _MOST for n in (*counts, *seconds)):
            return None
        if not 0 <= note.bytes < 2**63 or not all(isinstance(n, int) for n in note.reasons.values()):
            return None
        for text in (note.encoder, note.options, note.damaged or ""):
            text.encode()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    reasons = json.dumps(note.reasons) if note.reasons else None
    told: tuple[Any, ...] = (reasons, note.damaged, note.bytes)
    told += (*seconds, note.rejects_path == rejects_beside(path))
    return note.shard, token, *digests, note.encoder, note.options, key_bytes, *counts, *told, None


def _path(encoder: str, shard: str, key: str) -> str:
    return f"embeddings/{encoder[:16]}/{slug(shard)}-{key}.parquet"


def _seconds(units: Iterable[int]) -> dict[str, float]:
    return {stage: round(value * _UNIT, 4) for stage, value in zip(_STAGES, units, strict=True)}


def _notes(table: pa.Table) -> Iterator[EmbeddedShard]:
    columns = (table[name].to_pylist() for name in SCHEMA.names)
    for row in zip(*columns, strict=True):
        shard, token, digest, sha256, rejects, encoder, options, key, *counts = row[:13]
        reasons, damaged, size, *seconds, beside, whole = row[13:]
        if whole is not None:
            yield EmbeddedShard(**json.loads(whole))
            continue
        path = _path(encoder, shard, key.hex())
        yield EmbeddedShard(
            shard,
            token.hex(),
            digest.hex(),
            encoder,
            options,
            path,
            sha256.hex(),
            rejects_beside(path) if beside else rejects_of(path),
            rejects.hex(),
            **dict(zip(COUNTS, counts, strict=True)),
            reasons=json.loads(reasons) if reasons else {},
            damaged=damaged,
            bytes=size,
            seconds=_seconds(seconds),
        )
