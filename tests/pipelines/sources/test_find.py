import errno
import gzip
import logging
import os
from pathlib import Path

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.sources import SourceOptions, find_shards, read_shard
from lookalike.sources.pack import pack
from lookalike.sources.records import Record
from tests.support.small_stores import Bucket

DEFAULT = SourceOptions()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bucket(monkeypatch) -> Bucket:
    return Bucket(monkeypatch)


def touch(folder, *names: str, content: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def found(paths, options=DEFAULT) -> list[tuple[str, str]]:
    return [(shard.name, shard.format) for shard in find_shards(paths, options)]


def test_globs_brace_lists_and_files_give_shards_sorted_by_name_each_once(here):
    touch(here, "a-1.tar", "a-2.tgz", "a-3.tar.gz", "b.parquet", "c.TFRecord")
    assert found(["c.TFRecord", "a-*", "./a-1.tar", "a-1.tar", "{b,b}.parquet"]) == [
        ("a-1.tar", "webdataset"),
        ("a-2.tgz", "webdataset"),
        ("a-3.tar.gz", "webdataset"),
        ("b.parquet", "parquet"),
        ("c.TFRecord", "tfrecord"),
    ]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.tfrec", "tfrecord"),
        ("a.tfrecords.gz", "tfrecord"),
        ("a.tfrecord-00000-of-00010", "tfrecord"),
        ("a.tar.gz", "webdataset"),
        ("a.snappy.parquet", "parquet"),
    ],
)
def test_the_name_tells_the_format(here, name, format):
    touch(here, name)
    assert found(name) == [(name, format)]


@pytest.mark.parametrize("format", ["tfrecord", "webdataset", "parquet"])
@pytest.mark.parametrize("compress", [False, True])
def test_else_the_first_bytes_tell_the_format(here, format, compress):
    touch(here, "images/a.jpg")
    (path,) = pack("images", "out", format=format).shards
    content = (here / path).read_bytes()
    if compress and format != "parquet":
        content = gzip.compress(content)
    touch(here, "plain", content=content)
    assert found("plain") == [("plain", format)]


def test_a_configured_format_is_believed(here):
    touch(here, "a.tar")
    assert found("a.tar", SourceOptions(format="tfrecord")) == [("a.tar", "tfrecord")]


def test_a_list_of_paths_names_shards_and_folders(here):
    touch(here, "a.tar", "b/1.tar", "b/2.tar")
    touch(here, "all.txt", content=b"# shards\n\n  a.tar \r\nb\n")
    assert [name for name, _ in found("all.txt")] == ["a.tar", "b/1.tar", "b/2.tar"]


@pytest.mark.parametrize(
    ("paths", "content", "message"),
    [
        ("none-*.tar", b"", r"No file matches.*Received: none-\*\.tar"),
        (["x"], b"", "neither name nor content tell its format; set corpus.format"),
        ("all.txt", b"all.txt\n", "cannot name another list. Received: all.txt"),
        ("all.txt", b"gone.tar\n", "Received: gone.tar"),
        ("all.txt", b"\xff.tar\n", "in UTF-8. Received: all.txt"),
        ("all.txt", b"# nothing\n", "Expected shards. Received: a list that names none, all.txt"),
        ("empty", b"", "Expected shard files or images .* in the folder empty. Received: no files"),
        ("texts", b"", "Received: 1 without extension, 1 csv, 1 hidden"),
        (
            "mixed",
            b"",
            "more than one kind of input: set corpus.format .* Received: tfrecord, webdataset, folder",
        ),
        ("mixed/a.jpg", b"", "Name the folder of images instead. Received: mixed/a.jpg"),
    ],
)
def test_what_names_no_shard_is_refused_by_name(here, paths, content, message):
    (here / "empty").mkdir()
    touch(here, "all.txt", content=content)
    touch(here, "x", "texts/a.csv", "texts/b", "texts/.c", "mixed/a.jpg", "mixed/b.tar", "mixed/c.tfrecord")
    with pytest.raises(LookalikeError, match=message):
        find_shards(paths, DEFAULT)


def test_a_configured_format_chooses_from_a_mixed_folder(here):
    touch(here, "mixed/1.tar", "mixed/1.parquet", "mixed/1_stats.json", "mixed/a.jpg")
    assert found("mixed", SourceOptions(format="webdataset")) == [("1.tar", "webdataset")]
    assert found("mixed/", SourceOptions(format="folder")) == [("#000000000000", "folder")]
    with pytest.raises(
        LookalikeError, match=r"Expected tfrecord files in the folder mixed\. Received: 1 jpg"
    ):
        found("mixed", SourceOptions(format="tfrecord"))


def test_files_as_spark_names_them_are_found_by_a_configured_format(here):
    touch(here, "out/part-00000", "out/_SUCCESS", "out/.part-00000.crc")
    assert found("out", SourceOptions(format="tfrecord")) == [("part-00000", "tfrecord")]


def test_what_is_left_out_of_a_folder_is_logged_in_one_line(here, caplog):
    touch(here, "in/a.JPG", "in/b.txt", "in/c.txt", "in/.hidden/d.jpg", "in/e")
    with caplog.at_level(logging.INFO):
        (shard,) = find_shards("in", DEFAULT)
    assert [file.path for file in shard.files] == ["in/a.JPG"]
    assert caplog.messages == ["in: left out 4 of 5 files: 1 without extension, 1 hidden, 2 txt"]


def test_a_shard_that_is_a_link_out_of_its_folder_is_one_that_cannot_be_read(here):
    touch(here, "in/1.tar", "out/2.tar", "out/x")
    (here / "in" / "2.tar").symlink_to("../out/2.tar")
    (here / "in" / "x").symlink_to("../out/x")
    for paths in ("in", "in/*"):
        shards = find_shards(paths, DEFAULT)
        (reject,) = read_shard(shards[1], DEFAULT)
        assert (shards[1].name, reject.stage, reject.ends_shard) == ("2.tar", "read", True)
        assert (
            "'2.tar' is a link out of the corpus folder, to ../out/2.tar; corpus.follow_links" in reject.error
        )
    allowed = SourceOptions(follow_links=True)
    (_, second) = find_shards("in", allowed)
    assert not second.files[0].problem
    assert second.token != find_shards("in", DEFAULT)[1].token


def test_a_folder_of_shards_that_is_not_read_is_a_shard_that_cannot_be_read(here, monkeypatch):
    touch(here, "in/1.tar", "in/a/2.tar", "in/locked/3.tar", "out/4.tar")
    (here / "in" / "b").symlink_to("a")
    (here / "in" / "c").symlink_to("a")
    (here / "in" / "loop").symlink_to(".")
    (here / "in" / "more").symlink_to("../out")
    access, scan = os.access, os.scandir

    def scandir(path):
        if path.endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in path and access(path, mode))
    shards = find_shards("in", DEFAULT)
    assert [shard.name for shard in shards] == ["1.tar", "a/2.tar", "b/2.tar", "locked", "more"]
    locked, more = (next(read_shard(shard, DEFAULT)) for shard in shards[3:])
    assert locked.error == "'locked' is a folder that cannot be read: Permission denied"
    assert more.error.startswith("'more' is a link out of the corpus folder, to ../out;")
    (here / "in" / "again").symlink_to("../out")
    allowed = [shard.name for shard in find_shards("in", SourceOptions(follow_links=True))]
    assert allowed == ["1.tar", "a/2.tar", "again/4.tar", "b/2.tar", "locked"]


def test_a_changed_file_has_another_token(here):
    touch(here, "a.tar")
    first = find_shards("a.tar", DEFAULT)[0].token
    assert find_shards("a.tar", DEFAULT)[0].token == first
    os.utime("a.tar", ns=(1, 1))
    assert find_shards("a.tar", DEFAULT)[0].token != first


@pytest.mark.parametrize("format", ["tfrecord", "webdataset", "parquet", "folder"])
def test_urls_are_read_as_local_paths_are(here, bucket, format):
    touch(here, "images/d/a.jpg", "images/b.png")
    folder = here / "images"
    if format != "folder":
        folder = here / "out"
        pack("images", str(folder), format=format)
    options = SourceOptions()
    bucket.upload(folder, "mem://b/data")
    (shard,) = find_shards("mem://b/data", options)
    assert shard.place.startswith("mem://b/data")
    assert shard.name == ("#000000000000" if format == "folder" else Path(shard.place).name)
    assert list(read_shard(shard, options)) == [Record("b.png", b"x", 0), Record("d/a.jpg", b"x", 1)]


def same(*written, options=DEFAULT) -> list[str]:
    """The names of the shards, which each way of writing their paths must give, with the same tokens."""
    shards = [[(shard.name, shard.token) for shard in find_shards(paths, options)] for paths in written]
    assert all(found == shards[0] for found in shards)
    return [name for name, _ in shards[0]]


def test_names_do_not_depend_on_how_paths_are_written(here):
    touch(here, "data/a/1.tar", "data/a/2.tar", "data/b/1.tar", "other/x")
    folder = same(
        "data",
        "data/",
        "./data//",
        "../" + here.name + "/data",
        "other/../data",
        str(here / "data"),
        f"/{here}/data",
        f"file://{here}/data/",
        ["data", "./data", str(here / "data")],
        "data/**/*.tar",
        "./data//*/?.tar",
        f"file://{here}/data/{{a,b}}/*.tar",
        "data/{a,b}",
        ["data/a", "data/b/1.tar"],
        [str(here / "data/a/2.tar"), "./data/b", "data/a/1.tar"],
    )
    assert folder == ["a/1.tar", "a/2.tar", "b/1.tar"]
    assert same("data/a", "data/a/*", "data/a/{1,2}.tar", ["data/a/1.tar", "./data/a/2.tar"]) == [
        "1.tar",
        "2.tar",
    ]
    assert same("data/b/1.tar", "./data/b/1.tar", str(here / "data/b/1.tar"), "data/b") == ["1.tar"]


def test_a_list_of_paths_that_is_larger_than_a_record_may_be_is_not_read(here):
    touch(here, "all.txt", content=b"a.tar\n" * 9)
    with pytest.raises(
        LookalikeError, match=r"Expected a list of paths\. Received: all\.txt, 54 bytes, more than"
    ):
        find_shards("all.txt", SourceOptions(max_bytes=53))


def test_the_paths_of_a_list_have_their_own_root(here):
    touch(here, "data/a/1.tar", "data/b/1.tar")
    touch(here, "lists/all.txt", content=f"{here}/data/a\n./data/b/*.tar\n".encode())
    touch(here, "all.txt", content=b"data/a/1.tar\ndata/../data/b/1.tar\n")
    assert same("lists/all.txt", "all.txt", ["all.txt", "lists/all.txt"], "data") == ["a/1.tar", "b/1.tar"]


def test_several_folders_of_images_are_named_below_what_they_share(here):
    touch(here, "data/cats/a.jpg", "data/dogs/a.jpg")
    options = SourceOptions(item_id="shard/key")
    assert same(["data/cats", "./data/dogs"], [str(here / "data/dogs"), "data/cats/"]) == [
        "cats#000000000000",
        "dogs#000000000000",
    ]
    shards = find_shards(["data/cats", "data/dogs"], options)
    assert [item.item_id for shard in shards for item in read_shard(shard, options)] == [
        "cats/a.jpg",
        "dogs/a.jpg",
    ]


def test_places_that_share_nothing_keep_their_whole_paths(here, bucket):
    touch(here, "a.tar", "b.tar")
    bucket.upload(here, "mem://b")
    assert [name for name, _ in found(["mem://b/a.tar", "b.tar"])] == [f"{here}/b.tar", "mem://b/a.tar"]
    assert [name for name, _ in found(["mem://b/a.tar", "mem://b/b.*"])] == ["a.tar", "b.tar"]


def test_links_keep_their_own_names(here):
    touch(here, "disk/7/1.tar")
    (here / "data").symlink_to(here / "disk" / "7")
    assert same("data", "data/*.tar", str(here / "data")) == ["1.tar"]
    assert [name for name, _ in found(["data", "disk"])] == ["data/1.tar", "disk/7/1.tar"]


def test_two_shards_of_one_name_are_refused(here):
    touch(here, "disk/7/x", "disk/1.tar", "1.tar")
    (here / "link").symlink_to(here / "disk" / "7")
    with pytest.raises(LookalikeError, match=r"two of the name 1\.tar: 1\.tar, link/\.\./1\.tar"):
        find_shards(["1.tar", "link/../1.tar"], DEFAULT)
    touch(here, "photos/a.jpg", "photos#000000000000", content=b"PAR1")
    with pytest.raises(LookalikeError, match=r"two of the name photos#0{12}"):
        find_shards(["photos#000000000000", "photos", "1.tar"], DEFAULT)


def test_a_file_whose_name_looks_like_a_pattern_is_one(here):
    touch(here, "a[1]/x[2].tar", "a[1]/y.tar")
    assert same("a[1]/x[2].tar", f"{here}/a[1]/x[2].tar") == ["x[2].tar"]
    assert same("a[1]", "./a[1]/") == ["x[2].tar", "y.tar"]
