"""A run that took the file of all notes at its word says so where what that names is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.embedding.gone_files import GoneFilesError, naming_gone
from lookalike.embedding.plan import make_plan
from lookalike.model.errors import GateError, LookalikeError


@pytest.fixture
def plan(copied):
    """As if nobody had listed the store."""
    return replace(make_plan(copied.loaded), is_listed=False)


@pytest.mark.parametrize(
    "error",
    [
        LookalikeError("cannot be read"),
        FileNotFoundError(2, "cannot be read", "x"),
        GateError("cannot be read", ("digests",), 16),
    ],
    ids=repr,
)
def test_what_is_gone_is_named(copied, plan, error):
    first, second, _ = plan.notes
    (copied.store / first.path).unlink()
    (copied.store / second.rejects_path).unlink()
    with (
        pytest.raises(GoneFilesError, match=r"cannot be read.*of 2 shards") as raised,
        naming_gone(str(copied.store), plan),
    ):
        raise error
    assert f"({first.shard}, {second.shard})" in str(raised.value)


def test_what_was_replaced_is_named(copied, plan):
    note = copied.store / plan.notes[0].path.replace(".parquet", ".json")
    note.write_text(note.read_text().replace(plan.notes[0].sha256, "0" * 64))
    with pytest.raises(GoneFilesError, match="of 1 shards"), naming_gone(str(copied.store), plan):
        raise LookalikeError("x")


@pytest.mark.parametrize("what", ["all there", "looked before", "cannot be listed"])
def test_other_errors_stay_as_they_are(copied, plan, monkeypatch, what):
    if what != "all there":
        (copied.store / plan.notes[0].path).unlink()
    if what == "looked before":
        plan = replace(plan, is_listed=True)
    if what == "cannot be listed":
        monkeypatch.setattr("lookalike.embedding.gone_files.changed_behind", lambda *_: Path("/x/x").stat())
    error = LookalikeError("x")
    with pytest.raises(LookalikeError) as raised, naming_gone(str(copied.store), plan):
        raise error
    assert raised.value is error


def test_what_ends_well_is_not_looked_at(plan, monkeypatch):
    monkeypatch.setattr("lookalike.embedding.gone_files.changed_behind", lambda *_: pytest.fail("looked"))
    with naming_gone("nowhere", plan):
        pass
