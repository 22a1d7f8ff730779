from __future__ import annotations

import pyarrow.parquet as pq

from lookalike.duplicates.keeping import keeper
from lookalike.duplicates.results import join_copies, make_groups, order_items, write_groups
from lookalike.duplicates.run import opened

ITEMS = """
CREATE TABLE items AS SELECT * FROM (VALUES
  (0, 10, 1, 'a', 'A', 20, 10), (0, 11, 1, 'b', 'B', 10, 10), (0, 12, 1, 'c', 'A', 20, 10),
  (0, 13, 2, 'd', 'D', 30, 10), (0, 14, 3, 'e', 'E', 5, 5), (0, 15, 4, 'f', 'F', 5, 5)
) AS t(side, item, vector, item_id, content_hash, width, height);
CREATE TABLE looks AS SELECT * FROM (VALUES (10, 0, 'x'), (11, 1, 'x'), (13, 2, 'y'), (14, 3, NULL))
  AS t(item, look, pixels);
CREATE TABLE copies AS SELECT * FROM (VALUES (1, 2, 0.9999999::FLOAT, 0.97::FLOAT), (2, 3, 0.9::FLOAT, 0.96::FLOAT))
  AS t(one, other, near, correlation);
"""


def test_items_of_one_vector_are_members_together(tmp_path) -> None:
    with opened(str(tmp_path), ()) as run:
        run.connection.execute(ITEMS)
        order_items(run, keeper("largest"))
        join_copies(run)
        groups = make_groups(run, "cosine", against=False)
        write_groups(run, str(tmp_path / "t.parquet"), "parquet", {"made": "here"})
    assert groups.groups == 1
    assert groups.members == {"equal bytes": 0, "equal pixels": 0, "near copy": 4}
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert [(row["item_id"], row["keep"], row["score"]) for row in rows] == [
        ("d", True, 1.0),
        ("a", False, 1.0),
        ("b", False, 1.0),
        ("c", False, 1.0),
        ("e", False, rows[4]["score"]),
    ]
    assert abs(rows[4]["score"] - 0.9) < 1e-6


def test_kinds_are_to_what_is_kept(tmp_path) -> None:
    with opened(str(tmp_path), ()) as run:
        run.connection.execute(ITEMS)
        run.connection.execute("DELETE FROM copies")
        order_items(run, keeper("largest"))
        join_copies(run)
        groups = make_groups(run, "cosine", against=False)
        rows = run.connection.execute(
            'SELECT item_id, kind, correlation FROM results ORDER BY "group", 1'
        ).fetchall()
    assert rows == [("a", None, 1.0), ("b", "equal pixels", 1.0), ("c", "equal bytes", 1.0)]
    assert groups.members == {"equal bytes": 1, "equal pixels": 1, "near copy": 0}
