"""A text encoder is added to a bundle, from a classifier's names or from pictures and their texts."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from lookalike.encoder import text as job_of_texts
from lookalike.model.encoder.manifest import fingerprint, manifest_digest, read_manifest
from lookalike.model.text import minilm, tower
from lookalike.model.text.bundle import read_text_manifest
from lookalike.model.text.encoder import TextEncoder
from tests.conftest import run
from tests.support.texts import drawn_network


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    monkeypatch.setattr(minilm, "packaged_weights", drawn_network)
    monkeypatch.setattr(tower, "_LEAST_STEPS", 30)


def added(bundle, *options: object):
    return run("encoder", "text", bundle, *options)


def test_labels_of_the_corpus_are_learnt_and_found(tuned):
    bundle = tuned.settings["encoder"]
    tuned.config.write_text(json.dumps(tuned.settings))
    before = fingerprint(read_manifest(bundle))
    done = added(bundle, "--labels", "number", "--config", tuned.config)
    assert done.code == 0, done
    assert "learnt from 24 labels of 24 images: number" in done.out
    opened = TextEncoder.load(bundle, before)
    assert opened.manifest.fingerprint in done.out
    assert fingerprint(read_manifest(bundle)) == before
    names = opened.manifest.names
    assert opened.encode(names).understood == list(names)


def test_a_second_time_takes_the_place_of_the_first(tuned):
    bundle, corpus = tuned.settings["encoder"], tuned.settings["corpus"]["shards"]
    options = ("--corpus", corpus, "--config", tuned.config)
    tuned.config.write_text(json.dumps(tuned.settings))
    assert added(bundle, "--labels", "number", *options).code == 0
    first = read_text_manifest(bundle)
    os.mkdir(killed := os.path.join(bundle, ".text.tmp-0"))
    os.utime(killed, (0, 0))
    assert added(bundle, "--captions", "title", *options).code == 0
    second = read_text_manifest(bundle)
    assert (first.kind, second.kind, second.names) == ("labels", "captions", ())
    assert first.fingerprint != second.fingerprint
    assert not os.path.exists(killed)
    assert sorted(os.listdir(os.path.join(bundle, "text"))) == [
        *("map.npz", "network.npz", "text.json", "vocabulary.txt")
    ]


def test_names_of_classes_need_no_picture(tuned, monkeypatch):
    bundle = tuned.settings["encoder"]
    features = np.load(os.path.join(bundle, "projection.npz"))["components"].shape[1]
    weights = np.random.default_rng(0).normal(size=(7, features)).astype(np.float32)
    monkeypatch.setattr(job_of_texts, "class_names", lambda: tuple("abcdefg"))
    monkeypatch.setattr(job_of_texts, "known_classifier", lambda folder: weights)
    done = added(bundle)
    assert "go by the names of 7 classes" in done.out, done
    opened = TextEncoder.load(bundle, fingerprint(read_manifest(bundle)))
    assert opened.encode(["d"]).understood[0].startswith("d; ")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--labels", "a", "--captions", "b"), "Expected one of --labels and --captions. Received: both"),
        (("--labels", "a"), "Expected --corpus or --config, whose images have the texts. Received: neither"),
        (("--corpus", "x"), "Expected --labels or --captions with --corpus. Received: neither"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(tuned, options, sentence):
    assert added(tuned.settings["encoder"], *options).sentence == sentence


def test_one_text_alone_tells_nothing(tuned):
    shards = tuned.settings["corpus"]["shards"]
    done = added(tuned.settings["encoder"], "--labels", "directory", "--corpus", shards)
    assert done.sentence == (
        "Expected at least two different texts in directory of the corpus. Received: 0"
    ), "ids of this corpus have no folder"


def test_an_encoder_without_unit_length_is_refused(tuned):
    path = os.path.join(tuned.settings["encoder"], "encoder.json")
    manifest = read_manifest(tuned.settings["encoder"]) | {"unit_length": False}
    manifest["digest"] = manifest_digest(manifest)
    with open(path, "w") as file:
        json.dump(manifest, file)
    assert "built with --no-unit-length" in added(tuned.settings["encoder"]).sentence
