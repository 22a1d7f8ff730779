"""The steps of the join by content: each may be done again, by a worker that knows nothing of the first."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from lookalike.embedding.known import KnownEmbeddings
from lookalike.embedding.outcomes import run_file
from lookalike.store.kept_parts import KeptParts
from lookalike.store.splits import KEYS
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


def test_groups_are_of_neighbours_and_about_as_large():
    groups = [group_of(number, 10, 4) for number in range(10)]
    assert groups == sorted(groups)
    assert set(groups) == {0, 1, 2, 3}
    assert np.bincount(groups).max() <= 3
    assert group_of(np.arange(10), 10, 4).tolist() == groups


def test_what_workers_get_survives_the_way():
    group = Group(3, (Listed(1, "a", "0"), Listed(2, "b")))
    assert Group.from_json(json.loads(json.dumps(group))) == group


KEY = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
ROW = st.tuples(KEY, st.integers(0, 3), st.integers(0, 9))


@given(st.lists(st.lists(ROW, max_size=8), max_size=8), st.integers(1, 10))
def test_of_each_key_the_last_file_counts_however_the_rows_come(batches, at_once):
    last: dict[int, tuple[int, int]] = {}
    for key, file, row in sorted(row for batch in batches for row in batch):
        last[key] = (file, row)
    rows = [
        pa.record_batch(
            [list(column) for column in zip(*((*row, 1) for row in batch), strict=True)], schema=KEYS
        )
        for batch in batches
        if batch
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content_join, "_COMPARED", at_once)
        found = content_join._last_of_each(rows)
    assert found.tolist() == [(key, *last[key]) for key in sorted(last)]
