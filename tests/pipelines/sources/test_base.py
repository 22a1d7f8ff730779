"""Shards and the options they are read with."""

from __future__ import annotations

import pytest

from lookalike.filesystem.files import FileInfo
from lookalike.model.errors import LookalikeError
from lookalike.sources import Shard, SourceOptions
from lookalike.sources.base import shards_for


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "zip"}, r"corpus\.format: expected one of tfrecord, .* Received: 'zip'"),
        ({"item_id": "id"}, r"corpus\.item_id: expected key, shard/key or field:NAME\. Received: 'id'"),
        ({"item_id": "field:"}, r"corpus\.item_id"),
        ({"metadata": {"a": "int32"}}, r"corpus\.metadata\.a: expected one of string, .* Received: 'int32'"),
        ({"images_per_shard": 0}, r"corpus\.images_per_shard: expected 1 or more\. Received: 0"),
    ],
)
def test_wrong_options_are_refused_by_name(wrong, message):
    with pytest.raises(LookalikeError, match=message):
        SourceOptions(**wrong)


def test_the_token_changes_with_a_files_path_size_or_time_only():
    shards = [
        Shard("a", "webdataset", (FileInfo(path, size, time),))
        for path, size, time in (("a.tar", 1, "1"), ("b.tar", 1, "1"), ("a.tar", 2, "1"), ("a.tar", 1, "2"))
    ]
    assert len({shard.token for shard in shards}) == 4
    assert Shard("other", "parquet", shards[0].files).token == shards[0].token


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
        ("photos#00003-of-00008", "some/photos/", "photos"),
    ],
)
def test_the_stem_is_the_base_name_without_the_formats_extensions(name, root, stem):
    assert Shard(name, "tfrecord", (), root).stem == stem


def test_fields_that_are_asked_for_come_once():
    options = SourceOptions(item_id="field:sku", metadata={"price": "float64", "sku": "string"})
    assert (options.id_from_field, options.fields) == ("sku", ("price", "sku"))
    assert SourceOptions(item_id="field:sku").fields == ("sku",)
    assert SourceOptions(item_id="shard/key").id_from_field is None


@pytest.mark.parametrize(("count", "number"), [(0, 1), (10, 1), (11, 2), (20, 2), (21, 4), (41, 8)])
def test_the_number_of_shards_is_the_least_power_of_two_that_holds_them(count, number):
    assert shards_for(count, 10) == number
