"""Takedowns: a list that loses nothing, and that is an error rather than wrong."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store import exclusions
from lookalike.store.exclusions import (
    add,
    entries,
    excluded_ids,
    ids_from_file,
    nearest_excluded,
    nearest_served,
    remove,
    unknown_ids,
)
from lookalike.store.generation import publish
from tests.support.places import ROOT
from tests.support.small_stores import Bucket, SmallStore, flip

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "store")


def test_nothing_is_excluded_at_first(path):
    assert excluded_ids(path).to_pylist() == []
    assert entries(path) == []
    assert not os.path.exists(path)


def test_a_list_whose_link_leads_nowhere_is_an_error_and_stays(path, tmp_path):
    add(path, ["a"])
    os.rename(f"{path}/excluded.parquet", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", f"{path}/excluded.parquet")
    assert excluded_ids(path).to_pylist() == ["a"]
    os.rename(tmp_path / "elsewhere", tmp_path / "gone")
    for work in (lambda: excluded_ids(path), lambda: add(path, ["b"])):
        with pytest.raises(
            LookalikeError, match=r"exclusions is gone.*excluded\.parquet is a link to nowhere"
        ):
            work()
    assert os.path.islink(f"{path}/excluded.parquet")


def test_ids_are_excluded_with_date_and_reason_and_lifted_again(path):
    assert add(path, ["b", "ä/1 x.jpg", "b"], "request 7", NOON).changed == ("b", "ä/1 x.jpg")
    change = add(path, ["c", "b"], "again")
    assert (change.changed, change.unchanged) == (("c",), ("b",))
    assert excluded_ids(path).to_pylist() == ["b", "c", "ä/1 x.jpg"]
    assert (entries(path)[0].since, entries(path)[0].reason) == (NOON, "request 7")
    change = remove(path, ["b", "unheard of"])
    assert (change.changed, change.unchanged) == (("b",), ("unheard of",))
    assert excluded_ids(path).to_pylist() == ["c", "ä/1 x.jpg"]
    remove(path, ["c", "ä/1 x.jpg"])
    assert excluded_ids(path).to_pylist() == []


def test_the_list_is_a_plain_parquet_file(path):
    add(path, ["a"], "why", NOON)
    assert pq.read_table(os.path.join(path, "excluded.parquet")).to_pylist() == [
        {"item_id": "a", "since": NOON, "reason": "why"}
    ]


@pytest.mark.parametrize("wrong", ["", "\udc80"])
def test_what_can_be_no_id_is_refused_and_nothing_is_added(path, wrong):
    with pytest.raises(LookalikeError, match="Expected"):
        add(path, ["a", wrong])
    assert excluded_ids(path).to_pylist() == []


def test_a_reason_that_is_no_text_is_refused(path):
    with pytest.raises(LookalikeError, match="Expected a reason in UTF-8"):
        add(path, ["a"], "caf\udce9")
    assert excluded_ids(path).to_pylist() == []


class Hashed(str):
    """An id that counts how often a set or a dict asks where it belongs."""

    __slots__ = ()
    times = 0

    def __hash__(self) -> int:
        Hashed.times += 1
        return super().__hash__()


@pytest.mark.parametrize("change", [add, remove])
def test_what_an_id_costs_does_not_grow_with_the_list(path, change):
    add(path, ["0", "1"])
    Hashed.times = 0
    change(path, [Hashed(i) for i in range(1000)])
    assert Hashed.times < 20_000


def test_two_that_add_at_once_lose_nothing(path):
    script = (
        "import sys; from lookalike.store.exclusions import add\n"
        "for i in range(25): add(sys.argv[1], [f'{sys.argv[2]}{i}'])\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, path, letter], cwd=ROOT) for letter in ("a", "b")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(excluded_ids(path).to_pylist()) == sorted(f"{x}{i}" for x in "ab" for i in range(25))


def test_a_killed_writer_changes_nothing_and_the_next_one_cleans_up(path):
    add(path, ["a"])
    left = Path(path, ".excluded.parquet.tmp-1")
    left.write_bytes(b"half")
    assert excluded_ids(path).to_pylist() == ["a"]
    add(path, ["b"])
    assert not left.exists()


def test_a_flipped_byte_is_an_error_and_never_another_list(path):
    add(path, [f"id-{i}" for i in range(20)], "why", NOON)
    good, file = excluded_ids(path), Path(path, "excluded.parquet")
    found = 0
    for at in range(file.stat().st_size):
        before = flip(file, at)
        try:
            assert excluded_ids(path).equals(good), at
        except LookalikeError:
            found += 1
        file.write_bytes(before)
    assert found > 300


def test_a_damaged_list_is_not_overwritten(path):
    add(path, ["a"])
    file = Path(path, "excluded.parquet")
    file.write_bytes(b"nonsense")
    for change in (add, remove):
        with pytest.raises(LookalikeError, match="damaged"):
            change(path, ["b"])
    assert file.read_bytes() == b"nonsense"


def test_ids_that_no_generation_has_are_told(tmp_path):
    small = SmallStore(tmp_path / "store")
    assert unknown_ids(small.path, ["a0-0"]) == ["a0-0"]
    small.publish(0, ["a0"])
    small.publish(1, ["a1", "b0"])
    assert unknown_ids(small.path, ["x", "a0-0", "a1-1", "x", "b0-0", "y"]) == ["x", "y"]
    assert unknown_ids(small.path, []) == []


def test_ids_that_a_generation_left_out_as_taken_down_are_known(tmp_path):
    small = SmallStore(tmp_path / "store")
    whole = small.publish(0, ["a0", "b0"])
    assert unknown_ids(small.path, ["b0-1"]) == []
    publish(small.path, replace(whole, indexes=(small.index(["a0"]),)))
    assert unknown_ids(small.path, ["a0-0", "b0-1"]) == ["b0-1"]
    publish(small.path, replace(whole, indexes=(small.index(["a0"]),), excluded=2))
    assert unknown_ids(small.path, ["a0-0", "b0-1", "x"]) == ["x"]


def test_the_nearest_id_is_one_that_is_served(tmp_path):
    small = SmallStore(tmp_path / "store")
    assert nearest_served(small.path, ["A0-0"]) == {}
    small.publish(0, ["a0"])
    small.publish(1, ["b0"])
    assert nearest_served(small.path, ["B0-0", "zz"]) == {"B0-0": "b0-0"}
    assert nearest_served(small.path, []) == {}
    add(small.path, ["cats/1.jpg"])
    assert nearest_excluded(small.path, ["cats/1", "x"]) == {"cats/1": "cats/1.jpg"}


def test_ids_come_one_a_line_as_they_are(tmp_path):
    file = tmp_path / "ids.txt"
    file.write_bytes(" a b \r\n\nä\nlast".encode())
    assert ids_from_file(str(file)) == [" a b ", "ä", "last"]
    for encoding in ("utf-8-sig", "utf-16"):
        file.write_bytes("ä\r\nb".encode(encoding))
        assert ids_from_file(str(file)) == ["ä", "b"]
    file.write_bytes(b"\xff\n")
    with pytest.raises(LookalikeError, match="UTF-8"):
        ids_from_file(str(file))
    for nothing in (b"", b"\n\r\n"):
        file.write_bytes(nothing)
        with pytest.raises(LookalikeError, match=r"ids\.txt\. Received: none"):
            ids_from_file(str(file))


def test_a_list_behind_a_url(tmp_path, monkeypatch):
    bucket, url = Bucket(monkeypatch), "mem://bucket/store"
    small = SmallStore(tmp_path / "store")
    small.publish(0, ["a0"])
    bucket.upload(small.root, url)
    add(url, ["a0-0", "x"])
    assert excluded_ids(url).to_pylist() == ["a0-0", "x"]
    assert unknown_ids(url, ["a0-0", "x"]) == ["x"]
    remove(url, ["x"])
    assert excluded_ids(url).to_pylist() == ["a0-0"]
    assert f"{url}/{exclusions.EXCLUDED}" in bucket.objects
    assert f"{url}/excluded.lock" not in bucket.objects


def test_what_is_hidden_in_an_index_shard_is_not_there(tmp_path):
    small = SmallStore(tmp_path / "store")
    first = small.publish(0, ["a0", "b0"])
    small.publish(1, ["a0", "c0"], before=["a0", "b0"])
    assert nearest_served(small.path, ["B0-0", "C0-0"]) == {"B0-0": "a0-0", "C0-0": "c0-0"}
    assert unknown_ids(small.path, ["a0-0", "b0-0", "c0-1", "x"]) == ["x"]
    shutil.rmtree(tmp_path / "store" / "generations" / first.name)
    assert unknown_ids(small.path, ["a0-0", "b0-0", "c0-1", "x"]) == ["b0-0", "x"]
