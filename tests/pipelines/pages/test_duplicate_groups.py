"""Groups of duplicates as a page takes them from their table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.duplicates.results import KINDS, SCHEMA
from lookalike.model.errors import LookalikeError
from lookalike.pages.duplicate_groups import DOUBTFUL, GREATEST, MEMBERS, OTHERS, find_table, read_groups


def rows(group: int, correlations: list[float], kind: str = "near copy") -> list[dict[str, object]]:
    kept = {
        "group": group,
        "item_id": f"{group}",
        "keep": True,
        "kind": None,
        "score": 1.0,
        "correlation": 1.0,
    }
    others = [
        kept | {"item_id": f"{group}/{n}", "keep": False, "kind": kind, "score": c - 0.1, "correlation": c}
        for n, c in enumerate(correlations)
    ]
    size = {"width": 1000, "height": 2000, "representative_id": f"{group}"}
    return [row | size for row in [kept, *others]]


@pytest.fixture
def table(tmp_path) -> str:
    """Twelve pairs, a group of four, and one of more than a page shows."""
    found = [row for n in range(12) for row in rows(n, [0.9 + n / 200])]
    found += rows(12, [0.99, 0.98, 0.97]) + rows(13, [1.0] * 30, "equal bytes")
    pq.write_table(pa.Table.from_pylist(found, SCHEMA), tmp_path / "duplicates.parquet")
    return str(tmp_path / "duplicates.parquet")


def test_counts_are_of_all_groups(table) -> None:
    found = read_groups(table, "parquet", 2, "correlation")
    assert (found.groups, found.kept, found.could_go, found.left_out) == (14, 14, 45, 12)
    assert found.kinds == dict(zip(KINDS, [(30, 60_000_000), (0, 0), (15, 30_000_000)], strict=True))
    assert len(found.likeness) == 15


def test_a_group_is_in_one_section_and_what_is_kept_comes_first(table) -> None:
    found = read_groups(table, "parquet", 400, "correlation")
    ids = {name: [group.rows[0]["item_id"] for group in groups] for name, groups in found.sections.items()}
    assert ids[DOUBTFUL] == ["0", "1", "2"]
    assert ids[GREATEST] == ["13", "12"]
    assert ids[OTHERS] == [str(n) for n in range(3, 12)]
    assert all(group.rows[0]["keep"] for groups in found.sections.values() for group in groups)
    greatest = found.sections[GREATEST][0]
    assert (len(greatest.rows), greatest.count) == (MEMBERS, 31)


def test_of_distances_the_greatest_is_the_most_doubtful(table) -> None:
    found = read_groups(table, "parquet", 400, "score", is_distance=True)
    assert found.sections[DOUBTFUL][0].rows[0]["item_id"] == "12"


def test_what_is_no_table_of_duplicates_is_refused(tmp_path) -> None:
    path = tmp_path / "duplicates.csv"
    path.write_text("group,item_id\n1,a\n")
    with pytest.raises(LookalikeError, match="without keep, kind"):
        read_groups(str(path), "csv", 1, "correlation")
    path.write_text(",".join(SCHEMA.names) + "\nx,a,true,,1,1,a,1,1\n")
    with pytest.raises(LookalikeError, match=r"Expected a table .* in .*duplicates.csv"):
        read_groups(str(path), "csv", 1, "correlation")


def test_the_table_of_one_format_is_found(tmp_path) -> None:
    assert find_table(str(tmp_path)) is None
    (tmp_path / "duplicates.excel.csv").write_text("")
    assert find_table(str(tmp_path)) == (str(tmp_path / "duplicates.excel.csv"), "excel")
    (tmp_path / "duplicates.excel.csv").rename(tmp_path / "duplicates.csv")
    assert find_table(str(tmp_path)) == (str(tmp_path / "duplicates.csv"), "csv")
    (tmp_path / "duplicates.jsonl").write_text("")
    with pytest.raises(LookalikeError, match="csv, jsonl"):
        find_table(str(tmp_path))


def test_what_is_kept_comes_first_whatever_it_is_called(tmp_path) -> None:
    found = rows(1, [1.0] * 30, "equal bytes")
    found[0]["item_id"] = "last"
    pq.write_table(pa.Table.from_pylist(found, SCHEMA), tmp_path / "duplicates.parquet")
    shown = read_groups(str(tmp_path / "duplicates.parquet"), "parquet", 9, "correlation")
    (group,) = (group for groups in shown.sections.values() for group in groups)
    assert (group.rows[0]["item_id"], group.rows[0]["keep"]) == ("last", True)
