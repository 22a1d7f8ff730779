"""Pruning leaves exactly what kept generations name, whenever it is killed and whoever reads meanwhile."""

import contextlib
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files, objects
from lookalike.model.errors import LookalikeError
from lookalike.store import kept
from lookalike.store.generations import list_generations, names, reading, rollback, served_notes
from lookalike.store.note_listing import finished_shards, keep_notes
from lookalike.store.notes import rejects_beside
from lookalike.store.prune import GRACE_SECONDS, prune
from lookalike.store.verify import verify
from tests.pipelines.store.test_kept import table, write
from tests.support import fault_points
from tests.support.fault_points import PowerCut, watched
from tests.support.small_stores import ENCODER, FIRST_NIGHT, Bucket, SmallStore, flip

SHARDS = ("a0", "a1", "b0", "b1")
NIGHTS = [("a0", "b0"), ("a1", "b0"), ("a1", "b1"), ("a0", "b0")]
DAY = 86400.0


@pytest.fixture
def small(tmp_path) -> SmallStore:
    return SmallStore(tmp_path / "store")


def published(small: SmallStore, nights=NIGHTS):
    return [small.publish(number, shards) for number, shards in enumerate(nights)]


def test_what_was_read_of_embedding_files_is_left_unless_no_kept_generation_has_their_encoder(small):
    published(small)
    write(small.path, table())
    kept.replace_rows(small.path, "f" * 64, table("y"))
    planned = prune(small.path, 1, dry_run=True)
    before = small.files
    assert prune(small.path, 1) == planned
    assert planned.files == len(before - small.files)
    assert {name for name in small.files if name.startswith("kept/")} == {
        f"kept/{ENCODER[:16]}.arrow",
        *(f"kept/{ENCODER[:16]}/x-00000.{kind}.arrow" for kind in ("ids", "keys")),
    }


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_subset_is_kept_exactly_what_it_names_is_left(tmp_path_factory, data):
    nights = data.draw(
        st.lists(st.lists(st.sampled_from(SHARDS), unique=True, max_size=3), min_size=1, max_size=5)
    )
    small = SmallStore(tmp_path_factory.mktemp("hypothesis") / "store")
    made = published(small, nights)
    read = data.draw(st.sets(st.sampled_from(made and [g.name for g in made])))
    served = data.draw(st.sampled_from(made))
    if served.name != small.current:
        rollback(small.path, served.name)
    keep = data.draw(st.integers(1, len(made)))
    kept = [g for g in made if g.name in read or g == served or g in made[-keep:]]
    expected = {"CURRENT"}.union(*(small.files_of(g) for g in kept))
    with contextlib.ExitStack() as stack:
        for name in read:
            stack.enter_context(reading(small.path, name))
        planned = prune(small.path, keep, dry_run=True)
        before = small.files
        done = prune(small.path, keep)
    assert planned == done
    assert small.files == expected
    assert done.files == len(before - expected)
    assert done.kept == tuple(g.name for g in kept)
    assert sorted(done.kept + done.deleted) == [g.name for g in made]
    assert verify(small.path) == []
    assert not list(small.root.glob("indexes/*/")) or all(
        any(folder.iterdir()) for folder in small.root.glob("indexes/*/")
    )


class Killed(BaseException):
    pass


class Deleter:
    """In place of `files.delete`: deletes one file after the other, and dies before number `last`."""

    def __init__(self, last: int) -> None:
        self.left = last

    def step(self) -> None:
        if not self.left:
            raise Killed
        self.left -= 1

    def __call__(self, paths) -> None:
        for path in map(Path, paths):
            for file in sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []:
                self.step()
                file.unlink()
            if path.is_dir():
                self.step()
                path.rmdir()


def deleting(patch: pytest.MonkeyPatch, last: int) -> None:
    deleter = Deleter(last)
    patch.setattr(files, "delete", deleter)
    patch.setattr(files, "delete_files", deleter)


def test_a_kill_at_any_moment_leaves_a_store_that_verifies_and_the_next_prune_finishes(
    small, tmp_path, monkeypatch, caplog
):
    made = published(small)
    last, finished = 0, False
    whole = shutil.copytree(small.root, tmp_path / "whole")
    prune(str(whole), 2)
    expected = SmallStore(whole).files
    while not finished:
        copy = SmallStore(tmp_path / f"copy{last}")
        shutil.copytree(small.root, copy.root)
        with monkeypatch.context() as patched:
            deleting(patched, last)
            try:
                prune(copy.path, 2)
                finished = True
            except Killed:
                pass
        assert verify(copy.path) == []
        assert {made[2].name, made[3].name} <= set(names(copy.path))
        assert all(one.problem is None for one in list_generations(copy.path))
        prune(copy.path, 2)
        assert copy.files == expected
        assert "is damaged" not in caplog.text
        last += 1
    assert last > 8


def test_an_artifact_that_comes_back_before_an_interrupted_prune_ends_is_kept(small, monkeypatch):
    published(small, [("a0",), ("b0",)])
    deleting(monkeypatch, 1)
    with pytest.raises(Killed):
        prune(small.path, 1)
    monkeypatch.undo()
    small.publish(2, ("a0",))
    prune(small.path, 1)
    assert small.files == {"CURRENT"} | small.files_of(small.publish(2, ("a0",)))
    assert verify(small.path) == []


def test_young_generations_are_kept_and_a_clock_that_is_behind_keeps_more(small):
    made = published(small)
    nights = [g.name for g in made]
    now = FIRST_NIGHT.timestamp() + 3.5 * DAY
    assert prune(small.path, 1, 2.0, dry_run=True, now=now).kept == tuple(nights[2:])
    assert prune(small.path, 1, 3.0, dry_run=True, now=now).kept == tuple(nights[1:])
    assert prune(small.path, 2, 0.1, dry_run=True, now=now).kept == tuple(nights[2:])
    assert prune(small.path, 1, 2.0, dry_run=True, now=0.0).kept == tuple(nights)


def test_what_is_served_is_kept_however_old(small):
    made = published(small)
    rollback(small.path, made[0].name)
    assert prune(small.path, 1).kept == (made[0].name, made[3].name)
    assert small.current == made[0].name
    assert verify(small.path) == []


def test_work_that_no_generation_names_yet_is_left_until_it_is_old(small):
    now = time.time()
    generation = small.publish(0, ["a0"])
    small.embed("b0")
    small.index(["b0"])
    fresh = small.files
    assert prune(small.path, 1, now=now).artifacts == ()
    # Older than a day, but made after the newest generation: an embedding run over a long weekend.
    small.age(5, now)
    os.utime(small.root / "generations" / generation.name / "manifest.json", (now - 6 * DAY,) * 2)
    assert prune(small.path, 1, now=now).artifacts == ()
    os.utime(small.root / "generations" / generation.name / "manifest.json", (now - DAY,) * 2)
    assert prune(small.path, 1, keep_days=7, now=now).artifacts == ()
    assert small.files == fresh
    done = prune(small.path, 1, now=now)
    assert len(done.artifacts) == 2
    assert small.files == {"CURRENT"} | small.files_of(generation)


def test_a_store_that_published_nothing_loses_nothing(small):
    small.embed("a0")
    small.age(100, time.time())
    before = small.files
    assert prune(small.path, 1).files == 0
    assert small.files == before


def test_a_publication_that_was_killed_before_its_manifest_is_deleted(small):
    small.publish(0, ["a0"])
    before = small.files
    folder = small.root / "generations" / "20260105T000000Z-00000000"
    folder.mkdir()
    (folder / "duplicates.parquet").write_bytes(b"1")
    done = prune(small.path, 1)
    assert (done.files, done.bytes, done.deleted) == (1, 1, ())
    assert small.files == before
    assert not folder.exists()


def test_nothing_is_deleted_when_a_kept_generation_cannot_be_read(small):
    made = published(small)
    flip(small.root / "generations" / made[2].name / "manifest.json", 60)
    before = small.files
    with pytest.raises(LookalikeError, match=made[2].name):
        prune(small.path, 2)
    assert small.files == before


def test_rejects_that_lie_beside_as_they_did_go_with_their_embeddings(small):
    before, _ = published(small, [("a0",), ("b0",)])
    (note,) = served_notes(small.path, before)
    beside = small.root / rejects_beside(note.path)
    beside.write_bytes(b"")
    prune(small.path, 1)
    assert not beside.exists()


def test_a_damaged_old_generation_can_be_deleted(small):
    made = published(small, [("a0",), ("b0",)])
    flip(small.root / "generations" / made[0].name / "manifest.json", 60)
    assert prune(small.path, 1).deleted == (made[0].name,)
    assert names(small.path) == [made[1].name]
    assert verify(small.path) == []


@pytest.mark.parametrize(("count", "days"), [(0, None), (-1, None), (1, -1.0), (1, float("nan"))])
def test_senseless_retention_is_refused(small, count, days):
    with pytest.raises(LookalikeError, match="Expected to keep"):
        prune(small.path, count, days)


def test_behind_a_url_files_are_deleted_an_hour_after_their_manifest(small, monkeypatch):
    made = published(small, [("a0",), ("b0",), ("a0", "b0")])
    bucket, url = Bucket(monkeypatch), "mem://bucket/store"
    bucket.upload(small.root, url)
    # Older than the generation that is kept, and than a day: age alone would condemn them.
    for path, (content, modified) in bucket.objects.items():
        if "/generations/" not in path:
            bucket.objects[path] = (content, modified - 5 * DAY)
    bucket.now += 10 * DAY
    opener = set(bucket.objects)

    def missing() -> set[str]:
        return opener - set(bucket.objects)

    planned = prune(url, 1, dry_run=True, now=bucket.now)
    done = prune(url, 1, now=bucket.now)
    assert planned == done
    assert (done.waiting, done.deleted, done.files) == ((made[0].name, made[1].name), (), 0)
    assert names(url) == [made[2].name]
    assert missing() == {f"{url}/generations/{g.name}/manifest.json" for g in made[:2]}
    assert prune(url, 1, now=bucket.now + GRACE_SECONDS - 1).files == 0
    assert len(missing()) == 2
    done = prune(url, 1, now=bucket.now + GRACE_SECONDS + 1)
    assert (done.waiting, done.deleted) == ((), (made[0].name, made[1].name))
    expected = {"CURRENT"} | small.files_of(made[2])
    assert set(bucket.objects) == {f"{url}/{name}" for name in expected}
    assert verify(url) == []
    with reading(url) as opened:
        assert opened == made[2]


def test_behind_a_url_nothing_is_deleted_while_it_is_not_known_what_a_reader_may_need(small, monkeypatch):
    made = published(small, [("a0",), ("a0", "b0")])
    bucket, url = Bucket(monkeypatch), "mem://bucket/store"
    bucket.upload(small.root, url)
    for path, (content, modified) in bucket.objects.items():
        bucket.objects[path] = (content, modified - 5 * DAY * ("/generations/" not in path))
    prune(url, 1, now=bucket.now)
    files.write_bytes(f"{url}/generations/{made[0].name}/pruned.json", b"{")
    before = set(bucket.objects)
    done = prune(url, 1, now=bucket.now + GRACE_SECONDS - 1)
    assert (done.waiting, done.files, set(bucket.objects)) == ((made[0].name,), 0, before)
    assert prune(url, 1, now=bucket.now + GRACE_SECONDS + 1).artifacts == (made[0].indexes[0].path,)


def test_behind_a_url_the_next_plan_knows_what_was_deleted_wherever_pruning_is_killed(small, monkeypatch):
    published(small, [("a0", "b0"), ("a1", "b0")])
    bucket, url = Bucket(monkeypatch), "mem://bucket/store"
    bucket.upload(small.root, url)
    keep_notes(url, ENCODER, finished_shards(url, ENCODER).notes)
    prune(url, 1, now=bucket.now)
    whole, later = dict(bucket.objects), bucket.now + GRACE_SECONDS + 1
    left, listed, finished = 0, [], False

    def dying(request):
        def call(*arguments):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            request(*arguments)

        return call

    while not finished:
        bucket.objects, left = dict(whole), len(listed)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            for name in ("write", "upload", "delete"):
                patch.setattr(objects, name, dying(getattr(objects, name)))
            prune(url, 1, now=later)
            finished = True
        found = finished_shards(url, ENCODER)
        assert list(found.notes) == list(finished_shards(url, ENCODER, look=True).notes)
        listed.append(found.are_listed)
    assert {note.path for note in found.notes} == {small.embed(shard).path for shard in ("a1", "b0")}
    # Not before anything is deleted, nor when all is.
    assert (listed[0], listed[-1]) == (False, False)
    assert sum(listed) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 1])
def test_a_power_cut_at_any_moment_leaves_a_store_that_verifies_and_the_next_prune_finishes(
    small, tmp_path, monkeypatch, seed
):
    def killed(*_):
        raise Killed

    made = published(small, [("a0",), ("a1",), ("b0",), ("b1",)])
    prune(str(whole := shutil.copytree(small.root, tmp_path / "whole")), 2)
    expected = SmallStore(whole).files
    monkeypatch.setattr(fault_points, "die", killed)
    last, finished = 0, False
    while not finished:
        last += 1
        (place := tmp_path / str(last)).mkdir()
        copy = SmallStore(Path(shutil.copytree(small.root, place / "store")))
        points = PowerCut(copy.root, last, None if seed is None else 1000 * seed + last)
        try:
            with watched(points):
                prune(copy.path, 2)
            points.lose_power()
            finished = True
        except Killed:
            pass
        assert verify(copy.path) == []
        assert {made[2].name, made[3].name} <= set(names(copy.path))
        prune(copy.path, 2)
        assert {name for name in copy.files if files.TEMPORARY not in name} == expected
        shutil.rmtree(place)
    assert last > 20


def test_what_a_generation_in_use_is_made_of_is_kept_with_it(small):
    made = published(small, [("a0", "b0"), ("a0",), ("b0",)])
    with reading(small.path, made[1].name):
        assert prune(small.path, 1).in_use == (made[1].name,)
    assert small.files_of(made[1]) <= small.files
    assert verify(small.path) == []


def test_work_younger_than_a_day_is_left_though_a_generation_was_published_since(small):
    now = time.time()
    generation = small.publish(0, ["a0"])
    small.embed("b0")
    small.index(["b0"])
    small.age(0.5, now)
    os.utime(small.root / "generations" / generation.name / "manifest.json", (now - 0.1 * DAY,) * 2)
    assert prune(small.path, 1, now=now).artifacts == ()


def test_what_has_no_known_age_is_left(small):
    generation = small.publish(0, ["a0"])
    small.embed("b0")
    small.age(5, time.time())
    for path in small.root.glob("embeddings/*/b.tar*"):
        os.utime(path, (0, 0))
    os.utime(small.root / "generations" / generation.name / "manifest.json")
    assert prune(small.path, 1).artifacts == ()


@pytest.mark.parametrize(
    "data", [b"", b"null", b"{", b"[1]", b'"x"', b"[" * 100_000, b"\xff", b'{"a": "b"}', b"7"], ids=repr
)
def test_a_damaged_tombstone_is_named_and_ends_no_prune(small, data, caplog):
    made = published(small)
    served = small.files_of(made[-1])
    folder = small.root / "generations" / made[0].name
    (folder / "manifest.json").unlink()
    (folder / "pruned.json").write_bytes(data)
    done = prune(small.path, 9)
    assert done.deleted == (made[0].name,)
    assert str(folder / "pruned.json") in caplog.text
    assert not folder.exists()
    assert served <= small.files
    assert verify(small.path) == []
    caplog.clear()
    prune(small.path, 9)
    assert not caplog.text


def test_of_an_index_shard_that_grew_every_night_the_last_addition_is_left(tmp_path):
    small = SmallStore(tmp_path / "store")
    small.publish(0, ["a0", "b0"])
    small.publish(1, ["a0", "c0"], before=["a0", "b0"])
    last = small.publish(2, ["a0", "d0"], before=["a0", "b0"])
    summary = prune(small.path, 1)
    base, addition = last.indexes
    assert not {base.path, addition.path} & set(summary.artifacts)
    assert sum(path.endswith("-added") for path in summary.artifacts) == 1
    assert verify(small.path) == []
