"""`text/` in a bundle: written, read, bound to the image encoder, and refused where anything is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lookalike.model.digests import sha256_json
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import fingerprint, read_manifest
from lookalike.model.errors import LookalikeError
from lookalike.model.text.bundle import MAP, read_map, read_text_file, read_text_manifest
from lookalike.model.text.encoder import TextEncoder
from tests.support.texts import add_labels


@pytest.fixture(scope="module")
def made(encoder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "bundle"
    shutil.copytree(encoder, folder)
    add_labels(folder)
    return folder


@pytest.fixture
def bundle(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "bundle")


def test_the_image_encoder_stays_what_it_was(made, encoder):
    assert fingerprint(read_manifest(made)) == fingerprint(read_manifest(encoder))
    assert Encoder.load(made, threads=1).fingerprint == Encoder.load(encoder, threads=1).fingerprint


def test_what_was_written_is_read(made):
    manifest = read_text_manifest(made)
    assert (manifest.kind, manifest.names, manifest.field) == ("labels", ("red", "blue"), "colour")
    assert read_map(made, manifest).labels == ("red", "blue")
    assert add_labels(made).files == manifest.files, "the same texts give the same bytes"


def test_its_fingerprint_is_that_of_all_that_decides_a_vector(bundle):
    before = read_text_manifest(bundle).fingerprint
    assert add_labels(bundle, ("red", "blue")).fingerprint == before
    assert add_labels(bundle, ("red", "green")).fingerprint != before


def test_a_bundle_without_one_says_how_to_add_it(encoder):
    with pytest.raises(LookalikeError, match="has no text encoder; `lookalike encoder text` adds one"):
        read_text_manifest(encoder)


@pytest.mark.parametrize("name", ["network.npz", "vocabulary.txt", "map.npz"])
def test_a_damaged_or_missing_file_is_named(bundle, name):
    path = bundle / "text" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    manifest = read_text_manifest(bundle)
    with pytest.raises(LookalikeError, match=f"{name} should have SHA-256"):
        read_text_file(bundle, manifest, name)
    path.unlink()
    with pytest.raises(LookalikeError, match=f"cannot be read: .*{name}"):
        read_text_file(bundle, manifest, name)


def rewritten(bundle: Path, **changes) -> None:
    path = bundle / "text" / "text.json"
    values = json.loads(path.read_text()) | changes
    del values["digest"]
    path.write_text(json.dumps(values | {"digest": sha256_json(values)}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "poems"}, "Received: kind: "),
        ({"format": 2}, "Received: format: "),
        ({"files": {}}, "Expected network.npz, vocabulary.txt, map.npz in "),
        ({"more": 1}, "Received: more: "),
    ],
)
def test_another_manifest_is_refused(bundle, changes, sentence):
    rewritten(bundle, **changes)
    with pytest.raises(LookalikeError, match=sentence):
        read_text_manifest(bundle)


@pytest.mark.parametrize("changes", [{"dim": 5}, {"names": ["red"]}, {"kind": "class names"}])
def test_a_map_that_is_not_what_the_manifest_says_is_refused(bundle, changes):
    rewritten(bundle, **changes)
    with pytest.raises(LookalikeError, match=f"Expected finite float32 .* in .*{MAP}"):
        read_map(bundle, read_text_manifest(bundle))


def test_a_changed_manifest_or_no_json_is_damage(bundle):
    path = bundle / "text" / "text.json"
    text = path.read_text()
    path.write_text(text.replace('"red"', '"rot"'))
    with pytest.raises(LookalikeError, match="should have digest"):
        read_text_manifest(bundle)
    for other in ("{", "[1]", '{"names": 3}'):
        path.write_text(other)
        with pytest.raises(LookalikeError, match="damaged"):
            read_text_manifest(bundle)


def test_a_text_encoder_of_another_image_encoder_is_refused(bundle):
    with pytest.raises(LookalikeError, match="for the image encoder aaaa"):
        TextEncoder.load(bundle, "aaaa")


def test_a_text_encoder_of_other_dimensions_is_refused(bundle):
    rewritten(bundle, dim=5)
    manifest = read_manifest(bundle)
    with pytest.raises(LookalikeError, match=f"for the {manifest['dim']} dimensions .* one for 5"):
        TextEncoder.load(bundle, fingerprint(manifest))


def test_names_that_no_file_can_hold_are_refused(bundle):
    rewritten(bundle, names=["red", "\ud800"])
    with pytest.raises(LookalikeError, match=r"text\.json is no JSON of ours: .*surrogates"):
        read_text_manifest(bundle)
