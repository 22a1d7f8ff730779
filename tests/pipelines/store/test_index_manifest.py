"""The manifest of an index shard: the same bytes for the same content, and one of another shape is refused."""

import json
from dataclasses import replace

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store.index_manifest import (
    MANIFEST,
    FileDigest,
    IndexManifest,
    IndexParameters,
    Recall,
    SearchSettings,
    parse_manifest,
    parse_settings,
    read_manifest,
)

ONE = IndexManifest(
    format=3,
    metric="cosine",
    dim=8,
    count=3,
    encoder_fingerprint="abc",
    parameters=IndexParameters("tree", 2, 3, 0),
    settings=(SearchSettings(10, 1, 30, 0.99, {"members": Recall(0.995, 0.992, 3)}),),
    scann_version="1.3.4",
    files={"items.arrow": FileDigest("0" * 64, 12)},
)


def test_a_manifest_comes_back_as_it_was_and_in_the_same_bytes(tmp_path):
    (tmp_path / MANIFEST).write_bytes(ONE.to_json())
    read = read_manifest(str(tmp_path))
    assert read == ONE
    assert read.to_json() == ONE.to_json()
    assert replace(ONE, count=4).to_json() != ONE.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=4), "format 3 in .*Received: format"),
        (lambda m: m.pop("files"), "Received: files"),
        (lambda m: m.update(metric="manhattan"), "Received: metric"),
        (lambda m: m["settings"][0].update(pre_reorder="many"), r"Received: settings\.0\.pre_reorder"),
        (lambda m: m["files"].update(x={"sha256": "0"}), r"Received: files\.x\.size"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_by_key(change, message):
    manifest = json.loads(ONE.to_json())
    change(manifest)
    with pytest.raises(LookalikeError, match=message):
        parse_manifest(json.dumps(manifest).encode(), "some/manifest.json")


def test_a_manifest_that_is_cut_or_missing_is_refused(tmp_path):
    (tmp_path / MANIFEST).write_bytes(ONE.to_json()[:-20])
    with pytest.raises(LookalikeError, match="Received: the file: "):
        read_manifest(str(tmp_path))
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(LookalikeError, match="No such file"):
        read_manifest(str(tmp_path))


def test_an_index_of_before_trees_without_codes_is_read_as_it_is():
    before = json.loads(ONE.to_json()) | {"format": 2}
    assert parse_manifest(json.dumps(before).encode(), "m") == ONE


@pytest.mark.parametrize("pre_reorder", [0, 30])
def test_an_index_of_before_knew_one_k_and_is_read_as_such(pre_reorder):
    before = {
        "k": 10,
        "leaves_to_search": 2,
        "pre_reorder": pre_reorder,
        "recall": 0.995,
        "recall_lower": 0.992,
        "target": 0.99,
        "queries": 2000,
    }
    manifest = json.loads(ONE.to_json()) | {"format": 1, "settings": before}
    del manifest["farthest"]
    (settings,) = parse_manifest(json.dumps(manifest).encode(), "m").settings
    measured = {"members": Recall(0.995, 0.992, 2000)} if pre_reorder else {}
    assert settings == SearchSettings(10, 2, pre_reorder, 0.99, measured)
    assert parse_settings(before) == (settings,)
    assert settings.recall == (0.995 if pre_reorder else 1.0)


@pytest.mark.parametrize(
    "damage", [{"format": 1}, {"format": 1, "settings": {}}, {"format": 1, "settings": 3}]
)
def test_a_damaged_manifest_of_before_is_refused(damage):
    with pytest.raises(LookalikeError, match="Expected an index shard's manifest"):
        parse_manifest(json.dumps(damage).encode(), "m")
