"""The steps of the join by content: each may be done again, by a worker that knows nothing of the first."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from lookalike.embedding import content_join
from lookalike.embedding.content_join import (
    Choose,
    Fetch,
    Group,
    HandOut,
    Join,
    Listed,
    ReadHeld,
    ReadWanted,
    group_of,
)
from lookalike.embedding.held_keys import last_of_each
from lookalike.embedding.known import KnownEmbeddings
from lookalike.embedding.outcomes import run_file
from lookalike.store.kept_parts import KeptParts
from lookalike.store.splits import keys_of
from tests.pipelines.embedding.test_find_known import Case, content


@pytest.fixture
def case(tmp_path) -> Case:
    case = Case(tmp_path)
    case.holds(1, 2, value=1)
    case.holds(3, 2, value=2)
    case.wants(2, 7)
    case.wants(3, 1, 2)
    return case


def test_every_step_may_be_repeated_in_other_pieces_and_late(case):
    join = Join(case.store, f"{case.run}/join", 2, 2, 3, 2, 1000, KeptParts())
    held = [Listed(number, note.path, note.sha256) for number, note in enumerate(case.notes)]
    contents = [Listed(n, run_file(case.run, "contents", shard)) for n, shard in enumerate(case.shards)]
    known = [Listed(n, run_file(case.run, "known", shard)) for n, shard in enumerate(case.shards)]
    steps = [
        (ReadWanted(join), [contents[:1], contents[1:]]),
        (ReadHeld(join), [held[1:], held[:1]]),
        (Choose(join, ()), [[0, 1], [2]]),
        (Fetch(join), [[Group(0, tuple(held))]]),
        (HandOut(join), [[Group(0, tuple(known))]]),
    ]
    for number, (step, pieces) in enumerate(steps):
        for piece in [*pieces, pieces[0]]:
            step(piece)
        for earlier, done in steps[:number]:
            earlier(done[-1])
    found = []
    for listed, images in zip(known, [(2, 7), (3, 1, 2)], strict=True):
        rows = KnownEmbeddings(listed.path, 2)
        told = [rows.get(position, content(image)) for position, image in enumerate(images)]
        found.append([one and one.vector.tolist() for one in told])
    assert found == [[[2, 2], None], [[3, 2], [1, 1], [2, 2]]]
    assert join.damaged("held") == join.damaged("fetched") == {}


def test_a_disk_that_is_full_is_told_before_a_map_of_it_is_written(case, monkeypatch):
    """Writing to pages of a map that the disk has no room for would end the process by SIGBUS."""
    join = Join(case.store, f"{case.run}/join", 2, 2, 3, 2, 1000, KeptParts())
    held = [Listed(number, note.path, note.sha256) for number, note in enumerate(case.notes)]
    contents = [Listed(n, run_file(case.run, "contents", shard)) for n, shard in enumerate(case.shards)]
    ReadWanted(join)(contents)
    ReadHeld(join)(held)
    Choose(join, ())([0, 1, 2])
    Fetch(join)([Group(0, tuple(held))])

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    known = tuple(Listed(n, run_file(case.run, "known", shard)) for n, shard in enumerate(case.shards))
    with pytest.raises(OSError, match="No space left") as error:
        HandOut(join)([Group(0, known)])
    assert error.value.filename == join.spill


def test_groups_are_of_neighbours_and_about_as_large():
    groups = [group_of(number, 10, 4) for number in range(10)]
    assert groups == sorted(groups)
    assert set(groups) == {0, 1, 2, 3}
    assert np.bincount(groups).max() <= 3
    assert group_of(np.arange(10), 10, 4).tolist() == groups


def test_what_workers_get_survives_the_way():
    group = Group(3, (Listed(1, "a", "0"), Listed(2, "b")))
    assert Group.from_json(json.loads(json.dumps(group))) == group


@pytest.mark.parametrize(("few", "looked_at"), [(5, [1, 2, 2, 3]), (4, [1, 2, 2, 3, 9])])
def test_of_few_keys_that_are_wanted_only_their_like_is_put_in_order(case, monkeypatch, few, looked_at):
    case.holds(9, value=3)
    join = Join(case.store, f"{case.run}/join", 3, 2, 1, 2, 1000, KeptParts())
    ReadWanted(join)(
        [Listed(n, run_file(case.run, "contents", shard)) for n, shard in enumerate(case.shards)]
    )
    ReadHeld(join)([Listed(number, note.path, note.sha256) for number, note in enumerate(case.notes)])
    keys = dict(
        zip(keys_of(np.array([content(n) for n in range(10)], "S64")).tolist(), range(10), strict=True)
    )
    seen: list[int] = []

    def watched(batches):
        held = list(batches)
        seen.extend(keys[key] for rows in held for key in rows["key"].to_pylist())
        return last_of_each(held)

    monkeypatch.setattr(content_join, "last_of_each", watched)
    monkeypatch.setattr(content_join, "_FEW", few)
    Choose(join, ())([0])
    assert sorted(seen) == looked_at
    assert join.chosen_groups() == {0}
