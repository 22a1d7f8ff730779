"""Rejects by reason: all are counted, some are shown."""

from __future__ import annotations

from lookalike.pages import rejects
from lookalike.pages.rejects import look_at_rejects
from lookalike.store.generation import read_current


def test_rejects_are_counted_by_reason_with_examples(job, pictures, monkeypatch) -> None:
    broken = {f"p{n:02}b.jpg": b"no image at all" for n in range(0, 20, 4)} | {
        "cut.jpg": pictures["p00.jpg"][:400]
    }
    job.pack(pictures | broken, per_shard=6)
    job.set(gates={"max_reject_fraction": 1.0})
    job.nightly()
    found = look_at_rejects(str(job.store), read_current(str(job.store)))
    assert (found.count, found.read) == (6, 6)
    assert [(one.stage, one.count, one.examples) for one in found.reasons] == [
        ("decode", 5, ("p00b.jpg", "p04b.jpg", "p08b.jpg")),
        ("decode", 1, ("cut.jpg",)),
    ]
    monkeypatch.setattr(rejects, "SHARDS", 1)
    found = look_at_rejects(str(job.store), read_current(str(job.store)))
    assert found.count == 6 > found.read
