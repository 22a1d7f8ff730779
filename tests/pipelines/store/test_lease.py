"""Leases: no clock is compared; the living are left alone, the dead are not waited for longer than it takes."""

import dataclasses
import logging

import pytest

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.store import holder
from lookalike.store.holder import parse_holder, this_process
from lookalike.store.lease import DEAD_SECONDS, LOOK_SECONDS, RENEW_SECONDS, Lease
from lookalike.store.leftovers import clean_up
from lookalike.store.lock import hold
from tests.support.small_stores import Bucket

OTHER = holder.Holder("nightly", "elsewhere", 7, "2026-01-01T00:00:00+00:00", "lookalike nightly", token="t")


class World:
    """Time that passes only when someone waits; `events` happen after so many seconds."""

    def __init__(self, path: str) -> None:
        self.path, self.now, self.holder = path, 0.0, OTHER
        self.events: dict[float, object] = {}

    def renew(self) -> None:
        self.holder = holder.renewed(self.holder)
        files.write_bytes(self.path, self.holder.to_json())

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for when in [when for when in self.events if when <= self.now]:
            self.events.pop(when)()  # type: ignore[operator]


@pytest.fixture
def bucket(monkeypatch) -> Bucket:
    return Bucket(monkeypatch)


@pytest.fixture
def world(bucket) -> World:
    return World("mem://b/store/LOCK")


@pytest.fixture
def lease(world) -> Lease:
    return Lease(world.path, this_process("index"), world.wait)


def test_a_free_lease_is_taken_at_once(world, lease):
    lease.take()
    assert world.now == 0
    assert lease.is_ours()
    lease.check()
    lease.release()
    assert not files.exists(world.path)


def test_a_lease_that_was_deleted_is_lost(world, lease):
    lease.take()
    files.delete([world.path])
    with pytest.raises(LookalikeError, match="lost to another run, or deleted"):
        lease.check()


def test_a_living_holder_is_named(world, lease):
    world.renew()
    world.events = {18.0: world.renew}
    with pytest.raises(LookalikeError, match="lookalike nightly on host elsewhere, process 7"):
        lease.take()
    assert world.now == RENEW_SECONDS
    assert not lease.is_ours()


def test_a_holder_whose_clock_goes_backwards_lives(world, lease, monkeypatch):
    monkeypatch.setattr(holder, "utc_now", lambda: "1970-01-01T00:00:00+00:00")
    world.renew()
    world.events = {18.0: world.renew}
    with pytest.raises(LookalikeError, match="process 7"):
        lease.take()


def test_a_dead_holder_is_recognised_by_its_silence(world, lease, caplog):
    files.write_bytes(world.path, dataclasses.replace(OTHER, renewed="2999-01-01T00:00:00+00:00").to_json())
    lease.take()
    assert world.now == DEAD_SECONDS
    assert lease.is_ours()
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "left by a run that died: lookalike nightly on host elsewhere" in line


def test_an_unreadable_lease_is_taken_over_too(world, lease):
    files.write_bytes(world.path, b"?")
    lease.take()
    assert lease.is_ours()


def test_a_lease_that_is_released_while_one_watches_is_taken(world, lease):
    world.renew()
    world.events = {10.0: lambda: files.delete([world.path])}
    lease.take()
    assert world.now == 10


def test_of_two_that_take_it_at_once_one_has_it(world, lease, monkeypatch):
    """The other writes between the first one's look and its writing."""
    create = files.create_bytes

    def later(path, data):
        monkeypatch.setattr(files, "create_bytes", create)
        world.renew()
        return create(path, data)

    monkeypatch.setattr(files, "create_bytes", later)
    world.events = {15.0: world.renew}
    with pytest.raises(LookalikeError, match="elsewhere"):
        lease.take()
    assert parse_holder(files.read_bytes(world.path)) == world.holder


def test_of_two_that_take_over_a_dead_one_one_has_it(world, lease, monkeypatch):
    world.renew()
    replace = files.replace_bytes

    def later(path, data, version):
        world.renew()
        return replace(path, data, version)

    monkeypatch.setattr(files, "replace_bytes", later)
    with pytest.raises(LookalikeError, match="elsewhere"):
        lease.take()
    assert parse_holder(files.read_bytes(world.path)) == world.holder


def test_a_lease_whose_creation_was_answered_too_late_is_taken(world, lease, monkeypatch):
    create = files.create_bytes
    monkeypatch.setattr(files, "create_bytes", lambda path, data: create(path, data) and False)
    lease.take()
    assert world.now == LOOK_SECONDS
    assert lease.is_ours()


def test_a_store_that_takes_no_notice_of_conditions_is_refused(world, lease, monkeypatch):
    monkeypatch.setattr(files, "create_bytes", lambda path, data: files.write_bytes(path, data) is None)
    with pytest.raises(LookalikeError, match="only if it is absent"):
        lease.take()
    assert not files.exists(world.path)
    world.renew()
    world.events = {18.0: world.renew}
    with pytest.raises(LookalikeError, match="process 7"):
        lease.take()
    assert parse_holder(files.read_bytes(world.path)) == world.holder


def test_a_suspended_holder_learns_that_it_lost_and_leaves_the_lease_alone(world, lease):
    lease.take()
    world.renew()
    assert not lease.renew()
    with pytest.raises(LookalikeError, match="was lost to lookalike nightly on host elsewhere"):
        lease.check()
    lease.release()
    assert parse_holder(files.read_bytes(world.path)) == world.holder


def test_who_loses_it_between_looking_and_renewing_does_not_take_it_back(world, lease, monkeypatch):
    lease.take()
    replace = files.replace_bytes

    def later(path, data, version):
        world.renew()
        return replace(path, data, version)

    monkeypatch.setattr(files, "replace_bytes", later)
    assert not lease.renew()
    assert parse_holder(files.read_bytes(world.path)) == world.holder


def test_renewing_changes_the_content(world, lease):
    lease.take()
    before = files.read_bytes(world.path)
    assert lease.renew()
    assert files.read_bytes(world.path) != before


def test_a_patient_one_tries_again(world, lease):
    world.renew()
    world.events = {4.0: world.renew, 6.0: lambda: files.delete([world.path])}
    with lease.kept(patient=True) as check:
        check()
    assert not files.exists(world.path)


def test_a_renewal_of_which_the_answer_was_lost_is_one(world, lease, monkeypatch):
    lease.take()
    replace = files.replace_bytes
    monkeypatch.setattr(files, "replace_bytes", lambda *arguments: replace(*arguments) and False)
    assert lease.renew()


def test_two_runs_of_one_process_are_two_holders(world, lease):
    lease.take()
    assert not Lease(world.path, this_process("index"), world.wait).is_ours()


def test_one_error_of_the_network_does_not_end_the_renewing(lease, monkeypatch, caplog):
    answers = [OSError("reset"), RuntimeError("of a library"), True, False]
    left = iter(answers)

    def renew():
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    class Stop:
        def wait(self, seconds):
            assert seconds == RENEW_SECONDS

    monkeypatch.setattr(lease, "renew", renew)
    lease._keep(Stop())
    assert not list(left)
    assert "was lost; this run will publish nothing" in caplog.text


def test_a_run_that_is_done_does_not_fail_where_the_lock_cannot_be_deleted(lease, monkeypatch):
    def fails(_):
        raise OSError("gone")

    monkeypatch.setattr(files, "delete_files", fails)
    with lease.kept() as check:
        check()


def test_a_store_behind_a_url_is_held_by_a_lease(bucket):
    with hold("mem://bucket/store", "nightly") as check:
        check()
        holder = parse_holder(bucket.objects["mem://bucket/store/LOCK"][0])
        assert holder is not None
        assert holder.what == "nightly"
        bucket.objects["mem://bucket/store/runs/" + "0" * 32 + "/w.json"] = (b"12", 0)
        assert clean_up("mem://bucket/store").bytes == 2
    assert bucket.objects == {}
