"""Standing queries through nights."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from lookalike.standing.changes import apply_changes
from tests.conftest import Job, picture

ANSWER = ["query_id", "rank", "item_id", "score"]


def standing(job: Job, name: str = "new", **keys) -> Job:
    """The job, with its ids p00 to p05 asked every night."""
    path = job.folder / "ids.txt"
    if not path.exists():
        path.write_text("".join(f"p{n:02}.{'png' if n % 4 == 3 else 'jpg'}\n" for n in range(6)))
    job.set(corpus={"shards": str(job.shards)})
    return job.set(standing=[{"name": name, "queries": str(path), "k": 3, **keys}])


class Answered:
    """What is kept of a standing query."""

    def __init__(self, job: Job, name: str = "new") -> None:
        self.root = job.store / "standing" / name
        self.latest = json.loads((self.root / "latest.json").read_text())
        self.folder = self.root / self.latest["answers"]
        self.manifest = json.loads((self.folder / "answers.json").read_text())

    def table(self, name: str):
        return pq.read_table(self.folder / f"{name}.parquet").replace_schema_metadata()


def test_the_first_night_enters_all_and_the_next_what_changed(copied, pictures):
    job = standing(copied)
    done = job.nightly()
    first = Answered(job)
    assert first.manifest["previous"] is None
    assert set(first.table("changes")["change"].to_pylist()) == {"entered"}
    assert first.table("changes").num_rows == first.table("results").num_rows == 18
    assert "standing     new: 6 queries, 0 failed; 18 entered, 0 left, 0 moved" in done.out

    assert "standing     new: 6 queries, 0 failed; unchanged" in job.nightly().out
    assert Answered(job).latest == first.latest

    job.pack({**pictures, "p03.png": picture(903, form=".png"), "p30.jpg": picture(0)})
    job.nightly()
    second = Answered(job)
    assert second.manifest["previous"] == first.folder.name
    made = apply_changes(first.table("results"), second.table("changes"))
    assert made.equals(second.table("results").select(ANSWER))
    assert "p30.jpg" in second.table("changes")["item_id"].to_pylist()
