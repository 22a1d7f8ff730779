"""Standing queries as a store keeps them, and what must be true of them, by dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.standing.changes import apply_changes

ANSWER = ["query_id", "rank", "item_id", "score"]


class Answered:
    """The last answers to a standing query.

    Attributes:
        root: folder of the standing query.
        latest: what names the answers.
        folder: of the answers.
        manifest: of them.
        answers: the results as `apply_changes` gives them, read at once: the files may be deleted later.
    """

    def __init__(self, store: Path, name: str) -> None:
        self.root = store / "standing" / name
        self.latest = json.loads((self.root / "latest.json").read_text())
        self.folder = self.root / self.latest["answers"]
        self.manifest = json.loads((self.folder / "answers.json").read_text())
        self.answers = in_order(self.table("results").select(ANSWER))

    def table(self, name: str) -> pa.Table:
        """One of its tables: results, failures or changes."""
        return pq.read_table(self.folder / f"{name}.parquet").replace_schema_metadata()


def in_order(answers: pa.Table) -> pa.Table:
    return answers.sort_by([("query_id", "ascending"), ("rank", "ascending")])


def check_changes(before: pa.Table | None, now: Answered) -> None:
    """Compares the changes with those that dictionaries tell, and applies them.

    Args:
        before: the answers of before, None for none.
        now: the answers that came next.
    """
    empty = now.answers.slice(0, 0)
    before = empty if before is None else before
    changes = now.table("changes")
    assert apply_changes(before, changes).equals(now.answers)
    rows = changes.to_pylist()
    assert sorted(map(_key, rows)) == sorted(map(_key, expected_changes(before, now.answers)))
    counts = {kind: sum(row["change"] == kind for row in rows) for kind in ("entered", "left", "moved")}
    assert counts.items() <= now.manifest["counts"].items()


def _key(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def expected_changes(before: pa.Table, after: pa.Table) -> list[dict[str, Any]]:
    """The rows of the table of changes, in no order."""
    old, new = ({(r["query_id"], r["item_id"]): r for r in t.to_pylist()} for t in (before, after))
    nothing: dict[str, Any] = {"rank": None, "score": None}
    rows = []
    for key in old.keys() | new.keys():
        was, now = old.get(key, nothing), new.get(key, nothing)
        if was["rank"] == now["rank"] and _bits(was["score"]) == _bits(now["score"]):
            continue
        rows.append(
            {
                "query_id": key[0],
                "item_id": key[1],
                "change": "entered" if was is nothing else "left" if now is nothing else "moved",
                "rank_before": was["rank"],
                "rank_after": now["rank"],
                "score_before": was["score"],
                "score_after": now["score"],
            }
        )
    return rows


def _bits(score: float | None) -> bytes | None:
    return None if score is None else np.float32(score).tobytes()
