"""`encoder.json`: of the right types, and its files are exactly those it lists."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lookalike.model.encoder import manifest
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import manifest_digest, read_manifest
from lookalike.model.errors import LookalikeError


@pytest.fixture
def bundle(encoder, tmp_path) -> Path:
    """A bundle that may be changed."""
    return Path(shutil.copytree(encoder, tmp_path / "bundle"))


def rewrite(bundle: Path, **fields: object) -> None:
    """Changes fields as someone would who makes a bundle of his own: with a digest that fits."""
    manifest = json.loads((bundle / "encoder.json").read_text()) | fields
    manifest["digest"] = manifest_digest(manifest)
    (bundle / "encoder.json").write_text(json.dumps(manifest))


def refused(bundle: Path, **options) -> str:
    with pytest.raises(LookalikeError) as error:
        Encoder.load(bundle, **options)
    return str(error.value)


@pytest.mark.parametrize("variant", ["int8", "float"])
def test_a_bundle_that_was_written_again_is_opened(bundle, variant):
    rewrite(bundle, name="other")
    assert Encoder.load(bundle, variant=variant).name == "other"


@pytest.mark.parametrize("variant", ["int8", "float"])
def test_files_that_are_used_and_not_listed_are_refused(bundle, variant):
    listed = read_manifest(bundle)["files"]
    for left in (
        {},
        {"int8.tflite": listed["int8.tflite"]},
        {name: digest for name, digest in listed.items() if name != "int8.tflite"},
        {name: digest for name, digest in listed.items() if name != "projection.npz"},
        {name: digest for name, digest in listed.items() if "variables.data" not in name},
        {name: digest for name, digest in listed.items() if "saved_model.pb" not in name},
    ):
        rewrite(bundle, files=left)
        assert str(bundle) in refused(bundle, variant=variant)


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "notes/x", "saved_model/assets/words.txt", "saved_model/assets.extra/x"),
        *("saved_model/variables/variables.data-00001-of-00002", "saved_model/keras_metadata.pb", "model.py"),
        *("text/model.py", "text/more/x", "text/saved_model.pb"),
    ],
)
def test_a_file_that_is_not_listed_is_refused(bundle, name):
    (bundle / name).parent.mkdir(exist_ok=True, parents=True)
    (bundle / name).write_text("x")
    assert name in refused(bundle)


def test_what_a_change_of_the_steps_writes_meanwhile_is_no_reason_to_refuse(bundle):
    (bundle / ".encoder.json.tmp-0123").write_text("{")
    Encoder.load(bundle)


def test_an_empty_folder_in_a_bundle_is_no_file(bundle):
    (bundle / "saved_model/assets").mkdir(exist_ok=True)
    Encoder.load(bundle, variant="float")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../outside",
            "/etc/hostname",
            "saved_model/../int8.tflite",
            "saved_model//saved_model.pb",
            "",
            ".",
        ),
        *("saved_model/assets/words.txt", "int8.tflite\n", "encoder.json", "saved_model\\saved_model.pb"),
    ],
)
def test_a_name_that_is_no_part_of_a_bundle_is_refused(bundle, name):
    rewrite(bundle, files=read_manifest(bundle)["files"] | {name: "0" * 64})
    assert "no files in" in refused(bundle)


@pytest.mark.parametrize("name", ["int8.tflite", "saved_model", "saved_model/variables"])
def test_a_link_in_a_bundle_is_refused(bundle, tmp_path, name):
    os.rename(bundle / name, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", bundle / name)
    assert "cp -rL" in refused(bundle)


def test_a_pipe_in_a_bundle_is_refused_and_not_waited_for(bundle):
    (bundle / "int8.tflite").unlink()
    os.mkfifo(bundle / "int8.tflite")
    assert "a device" in refused(bundle)


def test_a_bundle_may_itself_be_a_link(bundle, tmp_path):
    os.symlink(bundle, tmp_path / "current")
    Encoder.load(tmp_path / "current")


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"name": 7},
            {"dim": "16"},
            {"dim": 0},
            {"dim": -16},
            {"dim": True},
            {"dim": 16.0},
            {"dim": 1 << 60},
        ),
        *({"preprocessing": None}, {"preprocessing": "decode|"}, {"preprocessing": ["decode"]}),
        *(
            {"pooling": "mean"},
            {"pooling": ["avg"]},
            {"pooling": {}},
            {"projection": True},
            {"projection": []},
        ),
        *({"unit_length": "yes"}, {"unit_length": None}, {"variant": "int4"}, {"variant": []}),
        *({"views": []}, {"views": {}}, {"views": {"flip": 1, "scales": [1.0]}}),
        *({"views": {"flip": True, "scales": []}}, {"views": {"flip": True, "scales": ["1"]}}),
        *({"views": {"flip": True, "scales": [0]}}, {"views": {"flip": True, "scales": [float("nan")]}}),
        *({"files": []}, {"files": None}, {"files": {"int8.tflite": 3}}, {"files": {"int8.tflite": "x"}}),
        *({"retrieval": []}, {"dim": 17}, {"dim": 15}, {"projection": None}, {"pooling": "gem"}),
        {"preprocessing": "decode|resize_short(40)|center_crop(33)|normalize(127,128)"},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_one_sentence(bundle, fields):
    rewrite(bundle, **fields)
    assert "\n" not in refused(bundle)
    assert "\n" not in refused(bundle, variant="float")


@pytest.mark.parametrize(
    "text", [b"\xff\xfe{", b"[" * 100_000, b'{"format": 1, "format": {}}', b"[" + b" " * (1 << 20)]
)
def test_what_is_no_json_of_ours_is_one_sentence(bundle, text):
    (bundle / "encoder.json").write_bytes(text)
    assert "encoder.json" in refused(bundle)


def test_a_bundle_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be read" in refused(tmp_path / "file")


WHOLE: dict[str, Any] = {
    "format": 1,
    "name": "tiny",
    "dim": 16,
    "preprocessing": "decode|resize(8, 8)",
    "pooling": "avg",
    "projection": {"kind": "pca"},
    "unit_length": True,
    "variant": "int8",
    "views": {"flip": False, "scales": [1.0]},
    "retrieval": None,
    "files": {
        "int8.tflite": "a" * 64,
        "projection.npz": "b" * 64,
        "saved_model/saved_model.pb": "c" * 64,
        "saved_model/variables/variables.index": "d" * 64,
    },
}


@pytest.mark.parametrize(
    ("other", "decides"),
    [
        ({"format": 2}, True),
        ({"dim": 8}, True),
        ({"preprocessing": "decode|resize(9, 9)"}, True),
        ({"pooling": "max"}, True),
        ({"unit_length": False}, True),
        ({"variant": "float"}, True),
        ({"views": {"flip": True, "scales": [1.0]}}, True),
        ({"files": WHOLE["files"] | {"int8.tflite": "0" * 64}}, True),
        ({"files": WHOLE["files"] | {"projection.npz": "0" * 64}}, True),
        ({"files": WHOLE["files"] | {"saved_model/saved_model.pb": "0" * 64}}, False),
        ({"name": "other"}, False),
        ({"retrieval": {"query_expansion": None}}, False),
    ],
    ids=str,
)
def test_all_that_decides_a_vector_is_in_the_fingerprint_and_nothing_else(other, decides) -> None:
    assert (manifest.fingerprint(WHOLE | other) != manifest.fingerprint(WHOLE)) == decides


def test_two_variants_of_the_same_files_have_two_fingerprints() -> None:
    bare = WHOLE | {"files": {}, "instructions": "avx2"}
    found = {manifest.fingerprint(bare, variant) for variant in ("int8", "float")}
    assert len(found) == 2


def test_a_file_that_changed_since_it_was_checked_is_not_read(tmp_path) -> None:
    (tmp_path / "int8.tflite").write_bytes(b"network")
    listed = {"files": {"int8.tflite": hashlib.sha256(b"network").hexdigest()}}
    assert manifest.read_listed(tmp_path, listed, "int8.tflite") == b"network"
    (tmp_path / "int8.tflite").write_bytes(b"another")
    with pytest.raises(LookalikeError, match=r"The encoder is damaged: .*int8\.tflite"):
        manifest.read_listed(tmp_path, listed, "int8.tflite")


def test_a_bundle_of_which_a_file_was_changed_is_refused(bundle):
    name = next(iter(json.loads((bundle / "encoder.json").read_text())["files"]))
    (bundle / name).write_bytes((bundle / name).read_bytes() + b"x")
    assert "The encoder is damaged" in refused(bundle)


def test_a_name_that_no_file_can_hold_is_refused(bundle):
    rewrite(bundle, name="\ud800")
    assert f"{bundle / 'encoder.json'} is not JSON: " in refused(bundle)
