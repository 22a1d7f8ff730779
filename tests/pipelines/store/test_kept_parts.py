"""Rows that an earlier run left: found again whatever the parts, or seen to be damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike.store import kept_parts
from lookalike.store.kept_parts import (
    CheckKept,
    DamagedKeptError,
    KeptParts,
    read_sealed,
    write_rows,
    write_sealed,
)
from lookalike.store.splits import IDS, KEYS, id_rows, part_of
from tests.support.small_stores import flip


def kept(folder: Path, parts: int, numbers: list[int], files: int = 3) -> KeptParts:
    """Ids 0-0, 0-1, ... of so many files, and what their numbers are now."""
    made = KeptParts(str(folder / "x"), parts, str(folder / "numbers"))
    (folder / "numbers").write_bytes(np.array(numbers, "<i4").tobytes())
    for part in range(parts):
        with write_rows(made.path(IDS, part), IDS) as add:
            for file in range(files):
                rows = id_rows(pa.array([f"{file}-{n}" for n in range(9)]), file)
                add(rows.filter(pa.array(part_of(rows, parts) == part)))
        with write_rows(made.path(KEYS, part), KEYS):
            pass
    return made


def found(made: KeptParts, parts: int) -> list[list[tuple[str, int]]]:
    """What each part is given."""
    return [
        [tuple(row.values()) for rows in made.rows(IDS, part, parts) for row in rows.to_pylist()]
        for part in range(parts)
    ]


@pytest.mark.parametrize("parts", [1, 2, 4, 16])
def test_rows_come_to_the_part_that_they_belong_to_now_with_the_number_that_their_file_has_now(
    tmp_path, parts
):
    held = found(kept(tmp_path, 4, [2, -1, 0]), parts)
    assert sorted(row for rows in held for row in rows) == [
        *((f"0-{n}", 2) for n in range(9)),
        *((f"2-{n}", 0) for n in range(9)),
    ]
    for part, rows in enumerate(held):
        if rows:
            assert set(part_of(id_rows(pa.array([item_id for item_id, _ in rows]), 0), parts)) == {part}


def test_where_nothing_is_kept_nothing_is_found():
    assert found(KeptParts(), 2) == [[], []]


def test_rows_that_come_few_at_a_time_are_written_together(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_parts, "_ROWS", 10)
    path = str(tmp_path / "x")
    with write_rows(path, IDS) as add:
        for number in range(25):
            add(id_rows(pa.array([str(number)]), number))
    with pa.ipc.open_stream(read_sealed(path)) as reader:
        batches = list(reader)
    assert [len(rows) for rows in batches] == [10, 10, 5]
    assert [n for rows in batches for n in rows["shard"].to_pylist()] == list(range(25))


def test_every_flipped_bit_and_every_cut_is_seen(tmp_path):
    path = tmp_path / "x"
    with write_sealed(str(path)) as file:
        file.write(b"some rows")
    whole = path.read_bytes()
    assert bytes(read_sealed(str(path))) == b"some rows"
    for at in range(len(whole)):
        flip(path, at)
        with pytest.raises(DamagedKeptError, match="x is damaged"):
            read_sealed(str(path))
        path.write_bytes(whole[:at])
        with pytest.raises(DamagedKeptError, match="x is damaged"):
            read_sealed(str(path))
        path.write_bytes(whole)


def test_workers_mark_parts_that_are_damaged_or_gone(tmp_path):
    made = kept(tmp_path, 4, [0, 1, 2])
    check = CheckKept(made, (IDS, KEYS), str(tmp_path / "marks"))
    check(range(4))
    assert not (tmp_path / "marks").exists()
    flip(Path(made.path(KEYS, 1)), 9)
    Path(made.path(IDS, 2)).unlink()
    check(range(4))
    marks = {path.name: path.read_text() for path in (tmp_path / "marks").iterdir()}
    assert marks == {
        "00001": f"{made.path(KEYS, 1)} is damaged",
        "00002": f"{made.path(IDS, 2)} is not there",
    }
    with pytest.raises(DamagedKeptError, match="is not there"):
        list(made.rows(IDS, 2, 4))
