"""Shards and the options they are read with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookalike.filesystem.files import FileInfo
from lookalike.model.errors import LookalikeError
from lookalike.sources import Shard, SourceOptions, find_shards
from lookalike.sources.base import shards_for


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "zip"}, r"corpus\.format: expected one of tfrecord, .* Received: 'zip'"),
        (
            {"item_id": "id"},
            r"corpus\.item_id: expected key, shard/key, position or field:NAME\. Received: 'id'",
        ),
        ({"item_id": "field:"}, r"corpus\.item_id"),
        ({"metadata": {"a": "int32"}}, r"corpus\.metadata\.a: Expected one of string, .* Received: 'int32'"),
        ({"max_bytes": 0}, r"corpus\.max_bytes: expected 1 or more\. Received: 0"),
        ({"images_per_shard": 0}, r"corpus\.images_per_shard: expected 1 or more\. Received: 0"),
    ],
)
def test_wrong_options_are_refused_by_name(wrong, message):
    with pytest.raises(LookalikeError, match=message):
        SourceOptions(**wrong)


def test_the_token_changes_with_a_files_path_size_or_time_only():
    shards = [
        Shard(path, "webdataset", (FileInfo(f"/data/{path}", size, time),))
        for path, size, time in (("a.tar", 1, "1"), ("b.tar", 1, "1"), ("a.tar", 2, "1"), ("a.tar", 1, "2"))
    ]
    assert len({shard.token for shard in shards}) == 4
    assert Shard("a.tar", "parquet", (FileInfo("moved/a.tar", 1, "1"),)).token == shards[0].token


def test_the_token_of_a_part_of_a_folder_changes_with_any_of_its_files_but_not_with_where_they_lie():
    def token(name: str, root: str, *paths: str) -> str:
        return Shard(name, "folder", tuple(FileInfo(path, 1, "1") for path in paths), root).token

    tokens = [
        token("#a", "x", "x/1.jpg", "x/2.jpg"),
        token("#a", "x", "x/1.jpg", "x/3.jpg"),
        token("#a", "x", "x/1.jpg"),
        token("y#a", "x/y", "x/y/1.jpg", "x/y/2.jpg"),
    ]
    assert len(set(tokens)) == 4
    assert token("#b", "/other", "/other/1.jpg", "/other/2.jpg") == tokens[0]
    assert token("y#a", "s3://b/x/y", "s3://b/x/y/1.jpg", "s3://b/x/y/2.jpg") == tokens[3]


def test_the_place_is_where_people_find_it():
    assert Shard("a.tar", "webdataset", (FileInfo("./data/a.tar", 1, "1"),)).place == "./data/a.tar"
    assert Shard("y#00ab", "folder", (FileInfo("x/y/1.jpg", 1, "1"),), "x/y").place == "x/y#00ab"


def test_a_shard_is_as_large_as_its_files():
    assert Shard("a", "folder", (FileInfo("x", 3, "1"), FileInfo("y", 4, "1"))).size == 7


@pytest.mark.parametrize(
    ("name", "root", "stem"),
    [
        ("some/train-00001-of-00008.tfrecord", "", "train-00001-of-00008"),
        ("some/a.b.tar.gz", "", "a.b"),
        ("a.tgz", "", "a"),
        ("s3://bucket/x.parquet", "", "x"),
        ("a.tfrec.gz", "", "a"),
        ("plain", "", "plain"),
        ("photos#000000000000", "some/photos/", "photos"),
        ("#000000000000", "some/p.d/./", "p.d"),
        ("#000000000000", "s3://bucket/photos", "photos"),
        ("#000000000000", "/some/x/../photos", "photos"),
    ],
)
def test_the_stem_is_the_base_name_without_the_formats_extensions(name, root, stem):
    assert Shard(name, "tfrecord", (), root).stem == stem


@pytest.mark.parametrize(
    ("name", "item_id"),
    [
        ("train-00000-of-00010.tfrecord", "train-00000-of-00010/17"),
        ("train.tfrecord-00000-of-00010", "train.tfrecord-00000-of-00010/17"),
        ("a/train.tar.gz", "a/train/17"),
        ("cats#00ab", "cats#00ab/17"),
    ],
)
def test_an_id_by_position_differs_between_any_two_shards(name, item_id):
    assert Shard(name, "tfrecord", ()).id_of(17) == item_id


def test_the_token_changes_where_a_file_can_no_longer_be_opened():
    whole, broken = (
        Shard("a", "folder", (FileInfo("a/x", 1, "1", why),), "a") for why in ("", "a dangling link")
    )
    assert whole.token != broken.token


def test_fields_that_are_asked_for_come_once():
    options = SourceOptions(item_id="field:sku", metadata={"price": "float64", "sku": "string"})
    assert (options.id_from_field, options.fields) == ("sku", ("price", "sku"))
    assert SourceOptions(item_id="field:sku").fields == ("sku",)
    assert SourceOptions(item_id="shard/key").id_from_field is None


@pytest.mark.parametrize(("count", "number"), [(0, 1), (10, 1), (11, 2), (20, 2), (21, 4), (41, 8)])
def test_the_number_of_shards_is_the_least_power_of_two_that_holds_them(count, number):
    assert shards_for(count, 10) == number


def test_a_shard_comes_back_from_json_as_it_was():
    name = b"caf\xe9/\xf0\x9f\x90\x9f\n".decode("utf-8", "surrogateescape")
    files = (FileInfo(f"/corpus/{name}", 7, "123456789"), FileInfo("/corpus/b", 0, "", "a named pipe"))
    for shard in (Shard(f"x#{name}", "folder", files, "/corpus"), Shard(name, "tfrecord", files[:1])):
        back = Shard.from_json(json.loads(json.dumps(shard.to_json())))
        assert back == shard
        assert back.token == shard.token


@pytest.mark.parametrize("written", ["x", "./x", "../corpus/x", "x/../x", "."])
def test_a_shard_of_relative_paths_is_the_same_elsewhere(tmp_path, monkeypatch, written):
    for name in ("a/b.jpg", "c.jpg"):
        (tmp_path / "corpus" / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / "x" / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path / "corpus" / ("x" if written == "." else ""))
    (shard,) = find_shards(written, SourceOptions())
    data = shard.to_json()
    monkeypatch.chdir("/")
    back = Shard.from_json(data)
    assert (back.name, back.token, back.stem) == (shard.name, shard.token, "x")
    assert [Path(file.path).read_bytes() for file in back.files] == [b"a/b.jpg", b"c.jpg"]
