"""An encoder from a network and a sample of a corpus: which images are taken, and what does not go together."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from lookalike.encoder import build
from lookalike.encoder.build import NetworkChoice, Sample, build_encoder, default_variant, sample_images
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.export import BundleRecipe
from lookalike.model.measuring.retrieval_metrics import average_precision, hit_rate_at_k
from lookalike.sources import Record
from tests.conftest import run
from tests.support.encoding import encode
from tests.support.places import CLOTHING


def test_the_sample_takes_turns_between_shards_and_reaches_into_them(pictures, job):
    job.pack(pictures)
    names = sorted(pictures)
    sample = [example.image for example in sample_images(Sample(str(job.shards), images=7))]
    assert sample[:3] == [pictures[names[i]] for i in (0, 8, 16)]
    assert 4 < len(set(sample)) == len(sample) <= 7
    assert len(list(sample_images(Sample(str(job.shards), images=100)))) == 24


@pytest.mark.parametrize("count", [13, 17, 23])
def test_the_sample_reaches_the_last_of_a_sorted_corpus(tmp_path, pictures, count):
    for number, image in enumerate(pictures.values()):
        folder = tmp_path / f"{number // 4}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(image)
    sample = list(sample_images(Sample(str(tmp_path), images=count)))
    assert {example.label for example in sample} == {"0", "1", "2", "3", "4", "5"}


def test_readers_of_the_largest_records_give_no_more_where_all_hold_too_much(monkeypatch):
    def reader(*sizes):
        yield from (Record("x", bytes(size), 0) for size in sizes)

    def sizes():
        readers = [reader(1, 2, 3), reader(50, 60, 70), reader(40, 5), reader(7, 8, 9, 10)]
        return [len(record.image) for record in build._in_turns(readers)]

    assert sizes() == [1, 50, 40, 7, 2, 60, 5, 8, 3, 70, 9, 10]
    monkeypatch.setattr(build, "_MOST_HELD", 60)
    assert sizes() == [1, 50, 40, 7, 2, 5, 8, 3, 9, 10]


def test_a_sample_is_the_same_every_time(pictures, job):
    job.pack(pictures)
    one, other = (list(sample_images(Sample(str(job.shards), images=7))) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--projection", "pca", "--dim", "0"],
            r"Expected dimensions to project to\. Received: projection pca, dim 0",
        ),
        (["--shrinkage", "0.1"], "Expected no shrinkage but for whitened and lda"),
        (["--label", "colour"], r"Expected a label only for lda\. Received: colour"),
        (
            ["--network", ".", "--pooling", "gem"],
            "neither pooling, weights, layer nor preprocessing for a training run",
        ),
        (["--network", "."], r"Expected a finished training run .* Received: no run\.json there"),
        (
            ["--network", "runs/typo"],
            r"or, to build an encoder, a folder of `lookalike train`\. Received: .*runs/typo",
        ),
        (["--network", "baseline"], r"Expected a network with trained weights\. Received: baseline"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_sample_is_read(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    done = run("encoder", "build", tmp_path / "new", "--sample", "nowhere/*.tar", *options)
    assert done.code == 2
    assert re.search(said, done.sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("best", "installed", "expected"),
    [
        ("amx", {"openvino", "nncf"}, "openvino"),
        ("amx", {"openvino"}, "int8"),
        ("amx", set(), "int8"),
        ("avx2", {"openvino", "nncf"}, "int8"),
    ],
)
def test_a_new_bundle_uses_openvino_where_it_is_faster_and_installed(monkeypatch, best, installed, expected):
    monkeypatch.setattr(build, "best_instructions", lambda: best)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in installed else None)
    assert default_variant() == expected


def test_what_a_killed_build_left_is_deleted_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(NetworkChoice, "opened", lambda *_: None)
    monkeypatch.setattr(build, "build_bundle", lambda *_: None)
    monkeypatch.setattr(build, "sample_images", lambda _: iter(()))
    (killed := tmp_path / ".new.tmp-0").mkdir()
    os.utime(killed, (0, 0))
    build_encoder(tmp_path / "new", NetworkChoice(), Sample(str(tmp_path)), BundleRecipe("x"))
    assert not killed.exists()


@pytest.mark.slow
@pytest.mark.skipif(not CLOTHING.is_dir(), reason="needs the clothing photographs")
def test_int8_finds_what_float_finds(tmp_path):
    """Each of 1,000 photographs asks for its class: hit rate at 1 and mAP are at most 0.005 below those of float."""
    pytest.importorskip("nncf")
    spec = "decode|resize_short(110)|center_crop(96)|normalize(127,128)"
    choice, recipe = (
        NetworkChoice(preprocessing=spec),
        BundleRecipe("x", variant="openvino", instructions="avx2"),
    )
    build_encoder(tmp_path / "new", choice, Sample(str(CLOTHING / "train"), images=400), recipe)
    examples = list(sample_images(Sample(str(CLOTHING / "train"), images=1000)))
    labels = np.array([example.label for example in examples])
    relevant = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    found = {}
    for variant in ("int8", "openvino", "float"):
        vectors, _ = encode(
            Encoder.load(tmp_path / "new", variant=variant), [example.image for example in examples]
        )
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        grades = np.take_along_axis(relevant, np.argsort(-scores, axis=1), axis=1).astype(np.int8)
        found[variant] = np.array(
            [hit_rate_at_k(grades, 1).mean(), average_precision(grades, relevant.sum(axis=1)).mean()]
        )
    for variant in ("int8", "openvino"):
        assert (found[variant] > found["float"] - 0.005).all(), found
