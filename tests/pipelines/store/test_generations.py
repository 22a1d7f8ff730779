"""Generations: listing, showing, reading and rolling back."""

import dataclasses
import json
import multiprocessing
import os
import threading

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store import exclusions, generations
from lookalike.store.generation import publish, read_current
from lookalike.store.generations import list_generations, reading, rollback, served_notes, show
from lookalike.store.prune import prune
from lookalike.store.verify import verify
from tests.support.small_stores import SmallStore, flip


@pytest.fixture
def small(tmp_path) -> SmallStore:
    return SmallStore(tmp_path / "store")


def test_generations_are_listed_in_order_and_the_served_one_is_marked(small):
    first, second = small.publish(0, ["a0", "b0"]), small.publish(1, ["a1"])
    one, two = list_generations(small.path)
    assert (one.name, two.name) == (first.name, second.name)
    assert (one.current, two.current) == (False, True)
    assert (one.items, one.shards, one.indexes, one.previous) == (4, 2, 1, None)
    assert (two.items, two.shards, two.created, two.previous) == (2, 1, second.created, first.name)
    assert two.encoder == "tiny eeeeeeee"


def test_the_recall_of_a_generation_is_that_of_its_worst_index_shard(small):
    made = small.publish(0, ["a0"])
    refs = [dataclasses.replace(made.indexes[0], recall=recall) for recall in (0.97, None, 0.99)]
    publish(small.path, dataclasses.replace(made, indexes=tuple(refs)))
    assert list_generations(small.path)[0].recall == 0.97


def test_a_store_without_generations_lists_none(small):
    assert list_generations(small.path) == []
    small.embed("a0")
    assert list_generations(small.path) == []


def test_a_damaged_manifest_is_listed_as_such_and_the_others_as_usual(small):
    first, second = small.publish(0, ["a0"]), small.publish(1, ["a1"])
    flip(small.root / "generations" / first.name / "manifest.json", 100)
    one, two = list_generations(small.path)
    assert "damaged" in one.problem
    assert one.items is None
    assert (two.problem, two.items, two.name) == (None, 2, second.name)


def test_show_gives_the_served_one_or_the_one_that_is_named(small):
    first, second = small.publish(0, ["a0"]), small.publish(1, ["a1"])
    assert show(small.path) == second
    assert show(small.path, first.name) == first
    with pytest.raises(LookalikeError, match=f"did you mean {second.name}"):
        show(small.path, second.name[:-1] + "9")


def test_a_name_cannot_lead_out_of_the_store(small):
    small.publish(0, ["a0"])
    with pytest.raises(LookalikeError, match="Expected the name of a generation"):
        show(small.path, "../generations")


def test_rolling_back_serves_the_one_before_and_forth_again(small):
    first, second, third = (small.publish(i, [f"a{i}"]) for i in range(3))
    before = {name: (small.root / name).read_bytes() for name in small.files - {"CURRENT"}}
    assert rollback(small.path) == second
    assert small.current == second.name
    assert rollback(small.path) == first
    assert rollback(small.path, third.name) == third
    assert read_current(small.path) == third
    assert {name: (small.root / name).read_bytes() for name in small.files - {"CURRENT"}} == before


def test_the_next_run_follows_what_was_rolled_back_to(small):
    first, _ = small.publish(0, ["a0"]), small.publish(1, ["a1"])
    rollback(small.path)
    assert small.publish(2, ["a2"]).previous == first.name
    assert rollback(small.path) == first


def test_there_is_no_way_back_from_the_first_or_to_a_pruned_one(small):
    with pytest.raises(LookalikeError, match="Nothing has been published"):
        rollback(small.path)
    first = small.publish(0, ["a0"])
    with pytest.raises(LookalikeError, match="none, it is the first"):
        rollback(small.path)
    with pytest.raises(LookalikeError, match="served already"):
        rollback(small.path, first.name)
    second = small.publish(1, ["a1"])
    prune(small.path, 1)
    with pytest.raises(LookalikeError, match=f"{first.name}, which has been pruned"):
        rollback(small.path)
    assert small.current == second.name


@pytest.mark.parametrize("damage", ["manifest", "missing", "short", "sealed"])
def test_a_generation_that_is_not_whole_is_not_served(small, damage):
    first, second = small.publish(0, ["a0"]), small.publish(1, ["a1"])
    folder = small.root / first.indexes[0].path
    if damage == "manifest":
        flip(folder / "manifest.json", 10)
    elif damage == "missing":
        (folder / "dataset.npy").unlink()
    elif damage == "short":
        (folder / "dataset.npy").write_bytes(b"1")
    else:
        flip(small.root / "generations" / first.name / "manifest.json", 60)
    with pytest.raises(LookalikeError, match=first.name if damage == "sealed" else first.indexes[0].path):
        rollback(small.path)
    assert small.current == second.name


@pytest.mark.parametrize("damage", ["CURRENT", "manifest"])
def test_rolling_back_by_name_mends_a_store_whose_served_generation_is_damaged(small, damage):
    first, second = small.publish(0, ["a0"]), small.publish(1, ["a1"])
    if damage == "CURRENT":
        (small.root / "CURRENT").write_text("nonsense")
    else:
        flip(small.root / "generations" / second.name / "manifest.json", 60)
    with pytest.raises(LookalikeError):
        rollback(small.path)
    assert rollback(small.path, first.name) == first


def test_exclusions_still_apply_after_rolling_back(small):
    small.publish(0, ["a0"])
    small.publish(1, ["a1"])
    exclusions.add(small.path, ["a0-0"])
    rollback(small.path)
    assert exclusions.excluded_ids(small.path).to_pylist() == ["a0-0"]


def test_a_reader_finishes_on_the_generation_it_opened(small):
    first = small.publish(0, ["a0"])
    with reading(small.path) as opened:
        small.publish(1, ["a1"])
        done = prune(small.path, 1)
        assert opened == first
        assert done.in_use == (first.name,)
        assert first.name in done.kept
        assert small.files_of(first) <= small.files
    named = small.files_of(first)
    assert prune(small.path, 1).deleted == (first.name,)
    assert not small.files & named


def _read_until(
    path: str, opened: "multiprocessing.Queue[str]", release: "multiprocessing.Queue[str]"
) -> None:
    with reading(path) as generation:
        opened.put(generation.name)
        release.get()


def test_a_reader_in_another_process_is_respected_until_it_is_killed(small):
    first = small.publish(0, ["a0"])
    context = multiprocessing.get_context("spawn")
    opened, release = context.Queue(), context.Queue()
    process = context.Process(target=_read_until, args=(small.path, opened, release))
    process.start()
    assert opened.get(timeout=60) == first.name
    small.publish(1, ["a1"])
    assert prune(small.path, 1).in_use == (first.name,)
    process.kill()
    process.join()
    assert prune(small.path, 1).deleted == (first.name,)


def test_many_readers_share_a_generation_and_leave_no_trace(small):
    first = small.publish(0, ["a0"])
    before = small.files
    with reading(small.path), reading(small.path, first.name):
        assert small.files == before
    assert small.files == before


def test_a_reader_whose_generation_is_pruned_while_it_opens_takes_the_new_one(small, monkeypatch):
    first = small.publish(0, ["a0"])
    real, raced = generations.flocked, []

    def flocked(*arguments, **options):
        if not raced:
            raced.append(small.publish(1, ["a1"]))
            prune(small.path, 1)
        return real(*arguments, **options)

    monkeypatch.setattr(generations, "flocked", flocked)
    with reading(small.path) as opened:
        assert opened == raced[0]
    with pytest.raises(LookalikeError, match=first.name), reading(small.path, first.name):
        pass


def test_reading_needs_no_permission_to_write(small):
    first = small.publish(0, ["a0"])
    manifest = small.root / "generations" / first.name / "manifest.json"
    os.chmod(manifest, 0o444)
    os.chmod(manifest.parent, 0o555)
    with reading(small.path) as opened:
        assert opened == first
    os.chmod(manifest.parent, 0o755)


def test_reading_works_where_files_cannot_be_locked(small, monkeypatch):
    from lookalike.store import lock

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(lock.errno.EOPNOTSUPP, "Operation not supported")

    first = small.publish(0, ["a0"])
    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with reading(small.path) as opened:
        assert opened == first


def test_reading_an_empty_or_broken_store_is_an_error_and_no_endless_loop(small):
    with pytest.raises(LookalikeError, match="Nothing has been published"), reading(small.path):
        pass
    first = small.publish(0, ["a0"])
    (small.root / "generations" / first.name / "manifest.json").unlink()
    with pytest.raises(LookalikeError, match=first.name), reading(small.path):
        pass


@pytest.mark.slow
def test_readers_publishers_and_pruners_at_once_never_see_half_a_generation(small):
    small.publish(0, ["a0"])
    stop, errors, opened = threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            try:
                with reading(small.path) as generation:
                    opened.add(generation.name)
                    for ref in generation.indexes:
                        generations.read_index(small.path, ref)
                    assert small.files_of(generation) <= small.files
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for night in range(1, 25):
            small.publish(night, [f"a{night % 3}"], seal=False)
            prune(small.path, 1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert len(opened) > 1


def test_a_manifest_says_all_that_show_says(small):
    generation = small.publish(0, ["a0"])
    text = (small.root / "generations" / generation.name / "manifest.json").read_text()
    assert json.loads(text)["counts"] == dict(show(small.path).counts)


def test_generations_of_the_first_format_are_read_verified_and_pruned_beside_new_ones(tmp_path):
    store = SmallStore(tmp_path)
    store.format = 1
    old = [store.publish(night, shards) for night, shards in enumerate((["a0", "b0"], ["a1", "b0"]))]
    store.format = 2
    new = store.publish(2, ["a2", "b0"])
    assert [one.shards for one in generations.list_generations(store.path)] == [2, 2, 2]
    assert [note.shard for note in served_notes(store.path, generations.show(store.path, old[0].name))] == [
        "a.tar",
        "b.tar",
    ]
    assert verify(store.path) == []
    generations.rollback(store.path, old[1].name)
    generations.rollback(store.path, new.name)
    kept = store.files_of(new)
    assert prune(store.path, 1).deleted == tuple(one.name for one in old)
    assert store.files - {"CURRENT", "LOCK"} == kept


def test_a_table_of_shards_that_is_damaged_or_gone_is_named_and_no_query_needs_it(tmp_path):
    store = SmallStore(tmp_path)
    generation = store.publish(0, ["a0"])
    path = tmp_path / "generations" / generation.name / "shards.parquet"
    flip(path, 50)
    with pytest.raises(LookalikeError, match=rf"{path} is damaged\. Expected SHA-256 "):
        served_notes(store.path, generation)
    path.unlink()
    with pytest.raises(LookalikeError, match=r"shards\.parquet cannot be read: No such file"):
        served_notes(store.path, generation)
    assert generations.show(store.path).shard_count == 1


@pytest.mark.parametrize("lost", ["hidden.npy", "items.arrow"])
def test_a_generation_is_served_again_only_with_the_additions_to_its_index(tmp_path, lost):
    small = SmallStore(tmp_path / "store")
    grown = small.publish(0, ["a0", "c0"], before=["a0", "b0"])
    small.publish(1, ["a0"])
    assert [one.indexes for one in list_generations(small.path)] == [1, 1]
    path = small.root / grown.indexes[1].path / lost
    path.rename(small.root / lost)
    with pytest.raises(LookalikeError, match=f"expected {lost}"):
        rollback(small.path)
    (small.root / lost).rename(path)
    assert rollback(small.path).name == grown.name


def test_without_a_seal_the_served_generation_is_read_only_with_the_digest_that_current_has(small):
    small.publish(1, ["a1"])
    folder = small.root / "generations" / small.current
    (folder / generations.SEAL).unlink()
    assert generations.read(small.path, small.current) == read_current(small.path)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"tinz"'))
    with pytest.raises(LookalikeError):
        generations.read(small.path, small.current)
