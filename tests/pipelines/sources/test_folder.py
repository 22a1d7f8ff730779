import os
from pathlib import Path

import pytest

from lookalike.sources import SourceOptions, find_shards, read_shard
from lookalike.sources.records import Record, Reject

OPTIONS = SourceOptions(images_per_shard=4, metadata={"directory": "string", "other": "int64"})


def make(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_the_relative_path_is_the_id_and_the_directory_a_field(tmp_path):
    make(tmp_path, ["a.jpg", "b/c d/ü.PNG"])
    (shard,) = find_shards(str(tmp_path) + "/", OPTIONS)
    assert list(read_shard(shard, OPTIONS)) == [
        Record("a.jpg", b"a.jpg", 0, {"directory": "", "other": None}),
        Record("b/c d/ü.PNG", "b/c d/ü.PNG".encode(), 1, {"directory": "b/c d", "other": None}),
    ]


def test_ids_do_not_depend_on_how_the_folder_is_written(tmp_path, monkeypatch):
    make(tmp_path, ["in/b/a.jpg"])
    monkeypatch.chdir(tmp_path / "in")
    for path in (".", "./", "../in", str(tmp_path / "in")):
        (shard,) = find_shards(path, OPTIONS)
        assert [item.item_id for item in read_shard(shard, OPTIONS)] == ["b/a.jpg"]


@pytest.mark.parametrize(("images", "shards"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 4), (33, 16)])
def test_the_number_of_shards_is_a_power_of_two(tmp_path, images, shards):
    make(tmp_path, [f"{i}.jpg" for i in range(images)])
    found = find_shards(str(tmp_path), OPTIONS)
    assert {shard.name.rpartition("-of-")[2] for shard in found} == {f"{shards:05d}"}
    assert sum(len(shard.files) for shard in found) == images


def test_one_more_file_changes_one_shard(tmp_path):
    make(tmp_path, [f"d{i % 3}/{i}.jpg" for i in range(30)])
    before = {shard.name: shard.token for shard in find_shards(str(tmp_path), OPTIONS)}
    make(tmp_path, ["d1/new.jpg"])
    after = {shard.name: shard.token for shard in find_shards(str(tmp_path), OPTIONS)}
    assert before.keys() == after.keys()
    assert sum(before[name] != after[name] for name in after) == 1


def test_the_shard_of_a_file_never_changes(tmp_path):
    make(tmp_path, [f"{i}.jpg" for i in range(6)])
    named = {
        shard.name[-14:]: [Path(file.path).name for file in shard.files]
        for shard in find_shards(str(tmp_path), OPTIONS)
    }
    assert named == {
        "00000-of-00002": ["0.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"],
        "00001-of-00002": ["1.jpg"],
    }


def test_a_name_that_is_not_utf8_is_rejected_escaped(tmp_path):
    make(tmp_path, ["a.jpg"])
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:
        file.write(b"x")
    (shard,) = find_shards(str(tmp_path), OPTIONS)
    assert len(shard.token) == 32
    first, second = read_shard(shard, OPTIONS)
    assert first.item_id == "a.jpg"
    assert isinstance(second, Reject)
    assert (second.item_id, second.stage, second.position) == ("caf\\xe9.jpg", "id", 1)


def test_a_file_that_is_gone_or_another_is_rejected_alone_as_not_listed(tmp_path):
    make(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    (shard,) = find_shards(str(tmp_path), OPTIONS)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.jpg").write_bytes(b"longer")
    first, second, third = read_shard(shard, OPTIONS)
    for reject, name, found in (
        (first, "a.jpg", "No such file or directory"),
        (second, "b.jpg", "6 bytes, changed"),
    ):
        assert (reject.item_id, reject.stage, reject.not_as_listed) == (name, "read", True)
        assert f"Received: {found}" in reject.error
    assert isinstance(third, Record)
