"""What `encoder show` tells of a bundle is what the bundle holds."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from lookalike.encoder.show import show
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import manifest_digest
from tests.conftest import DIM, SPEC, run, tune
from tests.support.calibrations import with_calibration
from tests.support.texts import add_labels


def shown(folder: object, *options: str) -> str:
    outcome = run("encoder", "show", folder, *options)
    assert outcome.code == 0, outcome
    return outcome.out


def test_it_tells_what_is_in_the_bundle(encoder):
    text = shown(encoder)
    size = sum(path.stat().st_size for path in encoder.rglob("*") if path.is_file())
    assert re.search(r"network +tiny, avg pooling\n", text)
    assert re.search(rf"dimensions +{DIM}, scaled to length 1\n", text)
    assert re.search(r"projection +pca, which keeps \d\d\.\d% of the variance\n", text)
    assert SPEC in text
    assert show(encoder).size == size - (encoder / "encoder.json").stat().st_size
    for variant in ("int8", "float"):
        digest = Encoder.load(encoder, variant=variant).fingerprint
        assert show(encoder).variants[variant] == digest
        assert re.search(rf"{variant} +{digest[:16]}{', in use' if variant == 'int8' else ''}\n", text)
    assert "calibration  none" in text
    assert "images/s" not in text


def test_it_measures_each_variant_when_asked(encoder):
    rates = json.loads(shown(encoder, "--json", "--measure"))["rates"]
    assert rates.keys() == {"int8", "float"}
    assert all(rate > 0 for rate in rates.values())


def test_machines_get_the_same(encoder):
    told = json.loads(shown(encoder, "--json"))
    manifest = json.loads((encoder / "encoder.json").read_text())
    assert {name: told[name] for name in ("name", "dim", "pooling", "preprocessing")} == {
        name: manifest[name] for name in ("name", "dim", "pooling", "preprocessing")
    }
    assert told["fingerprint"] == told["variants"]["int8"]
    assert told["calibration"] is None


def test_views_are_told(make_encoder, tmp_path):
    from lookalike.model.images.test_time_augmentation import TestTimeAugmentation

    make_encoder(tmp_path / "e", test_time_augmentation=TestTimeAugmentation(True, (1.0, 1.5)), dim=None)
    text = shown(tmp_path / "e")
    assert "averaged over scales 1, 1.5 and the mirrored picture" in text
    assert "projection   none" in text


def test_a_calibration_is_told_and_that_other_steps_end_it(copied):
    job = with_calibration(copied)
    assert "logistic, for cosine, from 5 queries and 50 pairs, relevant by directory" in shown(
        job.settings["encoder"]
    )
    outcome = run("encoder", "tune", job.settings["encoder"], "--query-expansion", "5,3")
    for text in (outcome.out, shown(job.settings["encoder"])):
        assert "calibration  does not hold: it was made with the steps none, in use are" in text
        assert "`lookalike evaluate --calibrate` makes another" in text
    assert json.loads(shown(job.settings["encoder"], "--json"))["calibration"]["fits_not"]
    outcome = run("encoder", "tune", job.settings["encoder"], "--query-expansion", "off")
    assert "calibration  logistic" in outcome.out


def test_without_a_calibration_tuning_tells_of_none(tuned):
    tune(tuned, "--reranking", "50")
    assert "calibration  " not in run("encoder", "tune", tuned.settings["encoder"]).out


@pytest.mark.parametrize("name", ["int8.tflite", "projection.npz"])
def test_a_damaged_bundle_is_no_table(tuned, name):
    path = Path(tuned.settings["encoder"]) / name
    path.write_bytes(path.read_bytes()[:-1])
    outcome = run("encoder", "show", tuned.settings["encoder"])
    assert outcome.code == 2
    assert f"The encoder is damaged: {path}" in outcome.sentence


@pytest.mark.parametrize("name", ["map.npz", "vocabulary.txt", "network.npz", "text.json"])
def test_the_files_of_a_text_encoder_are_compared_too(encoder, tmp_path, name):
    bundle = shutil.copytree(encoder, tmp_path / "e")
    add_labels(bundle)
    shown(bundle)
    with open(bundle / "text" / name, "ab") as file:
        file.write(b"x")
    assert name in run("encoder", "show", bundle).sentence


@pytest.mark.parametrize(
    "section", [{"x": 1}, {"kind": 7, "variance": 0.5}, {"kind": "pca", "variance": "x"}]
)
def test_a_projection_that_tells_other_things_is_one_sentence(encoder, tmp_path, section):
    bundle = shutil.copytree(encoder, tmp_path / "e")
    manifest = json.loads((bundle / "encoder.json").read_text()) | {"projection": section}
    manifest["digest"] = manifest_digest(manifest)
    (bundle / "encoder.json").write_text(json.dumps(manifest))
    assert "Received: projection." in run("encoder", "show", bundle).sentence
