"""The commands `encoder build` and `encoder tune`."""

from __future__ import annotations

import re
import tarfile

import pytest

from lookalike.encoder import build as encoder_build
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.networks import Backbone
from tests.conftest import SPEC, picture, run, tiny_network


@pytest.fixture
def tiny(monkeypatch):
    """`encoder build` with the tiny network."""
    monkeypatch.setattr(encoder_build, "backbone", lambda *_, **__: Backbone(tiny_network(), SPEC))


def test_encoder_build_refuses_a_network_that_was_never_trained(job, pictures):
    job.pack(pictures)
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--network", "baseline")
    assert done.code == 2
    assert "trained weights" in done.sentence


def test_encoder_build_makes_a_bundle_from_shards(tiny, job, pictures):
    job.pack(pictures | {"bad.jpg": b"x"})
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--dim", 8, "--name", "mine")
    assert done.code == 0
    assert "24 images, 1 unreadable" in done.out
    opened = Encoder.load(job.folder / "new")
    assert (opened.dim, opened.name) == (8, "mine")
    assert opened.fingerprint in done.out
    assert re.search(
        r"variant +int8; images/s of one thread, without decoding: int8 [0-9,]+, float [0-9,]+\n", done.out
    )


@pytest.mark.parametrize(("images", "dim"), [(24, 23), (40, 32), (2, 1)])
def test_a_small_sample_gets_the_dimensions_that_fit_unless_they_were_asked_for(tiny, job, images, dim):
    job.pack({f"{i}.jpg": picture(i) for i in range(images)})
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards)
    assert done.code == 0
    assert (
        f"{dim} dimensions instead of 256: the sample has {images} readable images, the network 32 features"
        in done.err
    )
    assert f"dimensions   {dim}\n" in done.out
    assert Encoder.load(job.folder / "new").dim == dim


def test_too_many_dimensions_are_refused_before_the_calibration(tiny, job, pictures, monkeypatch):
    job.pack(pictures)
    monkeypatch.setattr("lookalike.model.encoder.export._export", None)
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--dim", 25)
    assert done.code == 2
    assert "at least 25" in done.sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dim", "256"], "at least 256"),
        (["--dim", "-1"], "dim=-1"),
        (["--variant", "int9"], "variant=int9"),
        (["--variant", "openvino", "--instructions", "sse"], "instructions of avx2, amx"),
        (["--variant", "int8", "--instructions", "avx2"], "only for the variant openvino"),
        (["--sample", "nothing*.tar"], "nothing*.tar"),
        (["--projection", "lda", "--dim", "0"], "projection lda, dim 0"),
        (["--shrinkage", "0.1"], "no shrinkage but for whitened and lda"),
        (["--label", "colour"], "a label only for lda"),
    ],
)
def test_encoder_build_refuses_in_a_sentence_and_leaves_nothing(tiny, job, pictures, options, said):
    job.pack(pictures)
    done = run("encoder", "build", job.folder / "encoders" / "new", "--sample", job.shards, *options)
    assert done.code == 2
    assert said in done.sentence
    assert not list((job.folder / "encoders").glob("*")) or not (job.folder / "encoders").exists()


def test_encoder_build_takes_classes_from_folders_or_a_field(tiny, job, pictures):
    names = {
        f"{'even' if i % 2 == 0 else 'odd'}/{name}": image for i, (name, image) in enumerate(pictures.items())
    }
    job.pack(names)
    options = ["--sample", job.shards, "--projection", "lda", "--flip"]
    assert run("encoder", "build", job.folder / "new", *options).code == 0
    assert Encoder.load(job.folder / "new").dim == 1
    done = run("encoder", "build", job.folder / "other", *options, "--label", "colour")
    assert done.code == 2
    assert "needs images with a class. Received: none in the sample" in done.sentence


def test_discriminants_take_no_more_dimensions_than_the_network_has(tiny, job):
    job.pack({f"{i % 40}/{i}.jpg": picture(i) for i in range(80)})
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--projection", "lda")
    assert done.code == 0
    assert Encoder.load(job.folder / "new").dim == 32


def test_records_of_the_sample_that_cannot_be_read_are_told_of(tiny, job):
    job.shards.mkdir()
    with tarfile.open(job.shards / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("without-an-image.json"))
    done = run(
        "encoder",
        "build",
        job.folder / "new",
        "--sample",
        job.shards,
        "--projection",
        "lda",
        "--label",
        "colour",
    )
    assert done.code == 2
    assert "1 records that cannot be read. The first: " in done.sentence


def test_encoder_build_refuses_an_unknown_network(job, pictures):
    job.pack(pictures)
    done = run("encoder", "build", job.folder / "new", "--sample", job.shards, "--network", "vgg")
    assert done.code == 2
    assert "efficientnet_lite0" in done.sentence
