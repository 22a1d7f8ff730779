"""What is new is what the generation before did not serve, wherever it lies now."""

from __future__ import annotations

from lookalike.pages.new_items import new_items
from lookalike.store.generation import read_current


def test_items_that_came_are_new_and_those_that_moved_are_not(job, pictures) -> None:
    names = sorted(pictures)
    job.pack({name: pictures[name] for name in names[:10]}, per_shard=4)
    job.nightly()
    store = str(job.store)
    assert new_items(store, read_current(store), names) is None
    # Shards are cut elsewhere: nearly every embedding file is another.
    job.pack({name: pictures[name] for name in names[1:13]}, per_shard=5)
    job.nightly()
    assert new_items(store, read_current(store), names) == set(names[10:13])
    assert new_items(store, read_current(store), names[:11]) == {names[10]}
