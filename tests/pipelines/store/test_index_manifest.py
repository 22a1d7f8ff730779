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
    read_manifest,
)

ONE = IndexManifest(
    format=2,
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
        (lambda m: m.update(format=3), "format 2 in .*Received: format"),
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
