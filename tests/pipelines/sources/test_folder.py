import errno
import io
import os
import random
from pathlib import Path

import pytest

from lookalike.sources import SourceOptions, find_shards, read_shard
from lookalike.sources.folder import choose
from lookalike.sources.opening import check_listed
from lookalike.sources.records import Record, Reject
from lookalike.sources.walk import list_corpus

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


@pytest.mark.parametrize(("images", "shards"), [(1, 1), (6, 1), (7, 2), (120, 30)])
def test_so_many_images_make_a_shard_on_average(tmp_path, images, shards):
    make(tmp_path, [f"{i}.jpg" for i in range(images)])
    found = find_shards(str(tmp_path), OPTIONS)
    assert shards * 0.85 <= len(found) <= shards * 1.15
    assert sum(len(shard.files) for shard in found) == images


def test_one_more_file_changes_one_shard_or_few_at_a_bound(tmp_path):
    make(tmp_path, [f"d{i % 3}/{i}.jpg" for i in range(60)])
    before = {(shard.name, shard.token) for shard in find_shards(str(tmp_path), OPTIONS)}
    changed = []
    for number in random.Random(1).sample(range(100, 1000), 50):
        make(tmp_path, [name := f"d{number % 3}/{number}.jpg"])
        changed.append(len({(s.name, s.token) for s in find_shards(str(tmp_path), OPTIONS)} - before))
        (tmp_path / name).unlink()
    assert 1 <= min(changed) <= sum(changed) / 50 <= 1.5
    assert max(changed) <= 4


def test_parts_of_a_folder_never_change(tmp_path):
    make(tmp_path, [f"{i}.jpg" for i in range(7)])
    named = {
        shard.name: [Path(file.path).name for file in shard.files]
        for shard in find_shards(str(tmp_path), OPTIONS)
    }
    assert named == {
        "#000000000000": ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"],
        "#d4ec5bdf1f29": ["5.jpg", "6.jpg"],
    }


@pytest.mark.parametrize("place", ["moved", "deeper/../renamed", "sub/moved/"])
def test_names_and_tokens_do_not_depend_on_where_the_folder_lies(tmp_path, monkeypatch, place):
    make(tmp_path / "photos", ["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    monkeypatch.chdir(tmp_path)
    shards = [find_shards(f"photos{part}", OPTIONS) for part in ("", "/a")]
    (tmp_path / "deeper").mkdir()
    (tmp_path / place).parent.resolve().mkdir(parents=True, exist_ok=True)
    (tmp_path / "photos").rename((tmp_path / place).resolve())
    for part, before in zip(("", "/a"), shards, strict=True):
        after = find_shards(f"{place}{part}", OPTIONS)
        assert [(s.name, s.token) for s in after] == [(s.name, s.token) for s in before]
        assert [shard.place for shard in after] != [shard.place for shard in before]


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


GIF = b"GIF89a" + bytes(100)


def chosen(root: Path, content: dict[str, bytes]) -> tuple[list[str], dict[str, int]]:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    listed = [(file.path[len(str(root)) + 1 :], file) for file in list_corpus(str(root), follow_links=False)]
    images, left_out = choose(listed)
    return [file.path[len(str(root)) + 1 :] for file in images], dict(left_out)


def test_images_are_told_by_content_and_never_by_their_name(tmp_path):
    images = [
        "a.jpg",
        "b.jfif",
        "c.jpe",
        "d.mpo",
        "e.JPG.tmp-1",
        "f",
        "g.foo",
        "h.txt",
        "i.json",
        "p/j.db",
        "k.tar",
    ]
    assert chosen(tmp_path, dict.fromkeys(images, GIF)) == (sorted(images), {})


def test_what_lies_beside_images_is_left_out_by_kind_and_all_else_is_rejected_when_it_is_read(tmp_path):
    beside = {
        "desktop.ini": b"[.ShellClassInfo]",
        "p/Thumbs.db": b"\xd0\xcf\x11\xe0",
        ".DS_Store": b"\0\0\0\1Bud1",
        "a.json": b"{}",
        "a.txt": b"a boot",
        "clip.MP4": b"\0\0\0 ftypisom",
        "empty": b"",
        "MD5SUMS": b"00 a.jpg",
        "old-00000-of-00001.tar": b"x",
        "train.tfrecord-00000-of-00010": b"x",
    }
    taken = {
        "a.jpg": GIF,
        "broken": b"\xff\0\1",
        "drawing.svg": b"<svg/>",
        "layers.psd": b"8BPS",
        "b.jpg.part": b"",
    }
    images, left_out = chosen(tmp_path, beside | taken)
    assert images == sorted(taken)
    assert left_out == {
        "ini": 1, "db": 1, "hidden": 1, "json": 1, "txt": 1, "mp4": 1, "": 2, "tar": 1, "tfrecord-00000-of-00010": 1
    }  # fmt: skip


def test_a_folder_without_an_image_has_none(tmp_path):
    assert chosen(tmp_path, {"a.csv": b"1", "b": b"\xff\0", "c.foo": b"x"}) == (
        [],
        {"csv": 1, "": 1, "foo": 1},
    )
    assert chosen(tmp_path, {"z.bar": GIF})[0] == ["b", "c.foo", "z.bar"]


def test_what_cannot_be_read_is_one_reject_with_its_kind(tmp_path):
    make(tmp_path, ["a.jpg", "d.jpg"])
    os.mkfifo(tmp_path / "b.jpg")
    (tmp_path / "c").symlink_to("/etc")
    (tmp_path / ".lock").symlink_to("nowhere")
    (shard,) = find_shards(str(tmp_path), SourceOptions())
    check_listed(shard)
    items = list(read_shard(shard, SourceOptions()))
    assert [(item.item_id, item.position) for item in items] == [
        ("a.jpg", 0),
        ("b.jpg", 1),
        ("c", 2),
        ("d.jpg", 3),
    ]
    assert items[1] == Reject("b.jpg", 1, "read", "'b.jpg' is a named pipe, not an image")
    assert "'c' is a link out of the corpus folder, to /etc;" in items[2].error


def test_a_named_pipe_in_the_place_of_an_image_is_not_as_listed(tmp_path):
    make(tmp_path, ["a.jpg"])
    (shard,) = find_shards(str(tmp_path), SourceOptions())
    (tmp_path / "a.jpg").unlink()
    os.mkfifo(tmp_path / "a.jpg")
    (item,) = read_shard(shard, SourceOptions())
    assert item.not_as_listed


def test_a_file_above_the_limit_is_rejected_by_its_size_and_never_opened(tmp_path, monkeypatch):
    make(tmp_path, ["a.jpg", "c.jpg"])
    with open(tmp_path / "b.jpg", "wb") as file:
        file.truncate(300 << 20)
    os.chmod(tmp_path / "b.jpg", 0o000)
    (shard,) = find_shards(str(tmp_path), SourceOptions())
    first, second, third = read_shard(shard, SourceOptions())
    assert (first.item_id, third.item_id) == ("a.jpg", "c.jpg")
    error = "314,572,800 bytes, more than corpus.max_bytes allows: 268,435,456"
    assert second == Reject("b.jpg", 1, "read", error)


def test_a_file_that_grows_while_it_is_read_is_not_read_to_its_end(tmp_path, monkeypatch):
    class Endless(io.BytesIO):
        def read(self, size=-1):
            assert 0 <= size < 100
            return bytes(size)

        def fileno(self):
            return file.fileno()

    make(tmp_path, ["a.jpg"])
    (shard,) = find_shards(str(tmp_path), SourceOptions())
    with open(tmp_path / "a.jpg", "rb") as file:
        monkeypatch.setattr("lookalike.filesystem.files.open_read", lambda path: Endless())
        assert len(list(read_shard(shard, SourceOptions()))) == 1


def test_a_disk_that_fails_ends_the_run_and_not_the_image(tmp_path, monkeypatch):
    def failing(path):
        raise OSError(errno.EIO, "Input/output error", path)

    make(tmp_path, ["a.jpg", "b.jpg"])
    (shard,) = find_shards(str(tmp_path), OPTIONS)
    monkeypatch.setattr("lookalike.filesystem.files.open_read", failing)
    with pytest.raises(OSError, match="Input/output error"):
        list(read_shard(shard, OPTIONS))
