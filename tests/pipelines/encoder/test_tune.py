"""Steps around the search, changed in a bundle that is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookalike.encoder.tune import change, parsed
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import fingerprint, manifest_digest, read_manifest
from lookalike.model.encoder.post_processing import (
    DatabaseAugmentation,
    PostProcessing,
    QueryExpansion,
    Reranking,
)
from lookalike.model.errors import LookalikeError
from tests.conftest import DIM, run, tune


def test_tuning_changes_neither_the_fingerprint_nor_what_is_not_named(tuned):
    before = fingerprint(read_manifest(tuned.settings["encoder"]))
    tune(tuned, "--query-expansion", "5,3", "--reranking", "50")
    tune(tuned, "--database-augmentation", "4", "--reranking", "off")
    manifest = read_manifest(tuned.settings["encoder"])
    assert fingerprint(manifest) == before == Encoder.load(tuned.settings["encoder"]).fingerprint
    assert manifest["retrieval"] == {
        "database_augmentation": {"k": 4, "alpha": 3.0},
        "query_expansion": {"k": 5, "alpha": 3.0},
    }
    tune(tuned, "--database-augmentation", "off", "--query-expansion", "off")
    assert read_manifest(tuned.settings["encoder"])["retrieval"] is None


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--query-expansion", "0,3"),
        ("--query-expansion", "5,3,1"),
        ("--query-expansion", "5,NaN"),
        ("--database-augmentation", "many"),
        ("--reranking", "50,5,6"),
        ("--reranking", "1"),
        ("--reranking", ""),
    ],
)
def test_a_wrong_option_is_named_and_changes_nothing(tuned, option, text):
    before = read_manifest(tuned.settings["encoder"])
    done = run("encoder", "tune", tuned.settings["encoder"], option, text)
    assert done.code == 2
    assert done.sentence.startswith(option)
    assert done.sentence.endswith(f"Received: {text}")
    assert read_manifest(tuned.settings["encoder"]) == before


def test_a_bundle_from_before_there_were_steps_opens_with_its_fingerprint(tuned):
    path = tuned.folder / "encoder" / "encoder.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("retrieval") is None
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest))
    assert Encoder.load(path.parent).fingerprint == tuned.generation["encoder"]
    assert "unchanged" in tuned.nightly().out
    assert tuned.query(tuned.vectors_file([[1.0] * DIM])).code == 0


def test_what_is_written_becomes_the_fields_of_a_step_and_off_ends_it():
    assert parsed("5", "3,2.5", "off") == {
        "database_augmentation": DatabaseAugmentation(k=5),
        "query_expansion": QueryExpansion(k=3, alpha=2.5),
        "reranking": None,
    }
    assert parsed(None, None, "50,20,6,0.5") == {"reranking": Reranking(short_list=50, k1=20, k2=6, mix=0.5)}
    assert parsed(None, None, None) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("many", r"--reranking: expected numbers: short_list,k1,k2,mix, or off\. Received: many"),
        ("50,20,6,0.3,1", "--reranking: expected numbers"),
        ("1", "--reranking: short_list: "),
        ("50,5,6", "--reranking: k2 is expected to be at most k1, 5, not 6"),
    ],
)
def test_what_is_no_step_is_told_with_the_option(text, said):
    with pytest.raises(LookalikeError, match=said):
        parsed(None, None, text)


def test_a_change_names_all_steps_and_no_change_leaves_the_file_alone(tuned):
    folder = Path(tuned.settings["encoder"])
    assert change(folder, {"query_expansion": QueryExpansion(k=3)}).query_expansion == QueryExpansion(k=3)
    before = (folder / "encoder.json").stat()
    assert change(folder, {}) == PostProcessing(query_expansion=QueryExpansion(k=3))
    assert (folder / "encoder.json").stat() == before
