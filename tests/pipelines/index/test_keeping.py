"""What was read is put together with what was read before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lookalike.index.ids import folder_of
from lookalike.index.keeping import KeepParts
from lookalike.runner.parts import write_parts
from lookalike.store.kept_parts import KeptParts
from lookalike.store.splits import IDS, KEYS, id_rows, part_of


def rows(kept: KeptParts, schema: pa.Schema, part: int, parts: int) -> list[tuple]:
    return [tuple(row.values()) for batch in kept.rows(schema, part, parts) for row in batch.to_pylist()]


def test_rows_of_before_and_of_now_are_in_one_file_a_part_and_those_without_a_number_are_not(tmp_path):
    def read(ids: list[str], file: int, parts: int) -> str:
        folder = str(tmp_path / f"read-{file}")
        keys = pa.Table.from_pylist([{"key": n, "file": file, "row": n, "pixels": 1} for n in range(3)], KEYS)
        for schema, batch in ((IDS, id_rows(pa.array(ids), file)), (KEYS, keys.to_batches()[0])):
            with write_parts(f"{folder_of(folder, schema)}/{file:07}.arrow", schema, parts) as writer:
                writer.add(batch, part_of(batch, parts))
        return folder

    numbers = tmp_path / "numbers"
    numbers.write_bytes(np.array([0, -1, 1], "<i4").tobytes())
    first = KeptParts(str(tmp_path / "first"), 1, str(numbers))
    KeepParts(KeptParts(), read(["a", "b", "c"], 0, 1), first)([0])
    assert rows(first, IDS, 0, 1) == [("a", 0), ("b", 0), ("c", 0)]
    second = KeptParts(str(tmp_path / "second"), 2, str(numbers))
    for part in (1, 0):
        KeepParts(first, read(["d", "e", "f"], 2, 2), second)([part])
    assert sorted(rows(second, IDS, 0, 1)) == [*((i, 0) for i in "abc"), *((i, 1) for i in "def")]
    assert sorted(rows(second, KEYS, 0, 1)) == [(n, file, n, 1) for n in range(3) for file in (0, 1)]
    numbers.write_bytes(np.array([-1, -1, 5], "<i4").tobytes())
    assert sorted(rows(second, IDS, 0, 1)) == [(i, 5) for i in "def"]
