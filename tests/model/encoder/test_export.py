"""Building a bundle: what it is made from, what is left out, and what cannot be built."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from lookalike.model.encoder import export
from lookalike.model.encoder.bundle import Encoder, fingerprint, read_manifest
from lookalike.model.encoder.export import BundleRecipe, Example, build_bundle
from lookalike.model.encoder.post_processing import PostProcessing, Reranking
from lookalike.model.encoder.projection import LDA, WhitenedPCA, unit_length
from lookalike.model.errors import LookalikeError
from lookalike.model.images.test_time_augmentation import TestTimeAugmentation
from lookalike.model.networks import Backbone
from tests.conftest import SPEC, picture, tiny_network
from tests.support.encoding import encode


def test_building_leaves_out_unreadable_images_and_says_so(make_encoder, tmp_path, pictures):
    sample = [b"text", *pictures.values(), b""]
    backbone = Backbone(tiny_network(), SPEC)
    summary = build_bundle(tmp_path / "new", backbone, map(Example, sample), BundleRecipe("n", dim=4))
    assert (summary.images, sorted(summary.unreadable), summary.dim) == (24, [0, 25], 4)
    assert "whose variance it keeps to" in summary.projection
    assert 0.9 < summary.agreement <= 1
    assert summary.fingerprint == Encoder.load(tmp_path / "new").fingerprint


def test_a_discriminant_projection_is_fitted_on_the_images_that_have_a_class(tmp_path):
    sample = [Example(picture(seed), f"class {seed % 4}" if seed % 5 else None) for seed in range(40)]
    backbone = Backbone(tiny_network(), SPEC)
    summary = build_bundle(tmp_path / "new", backbone, sample, BundleRecipe("n", dim=100, projection="lda"))
    assert (summary.images, summary.unlabelled, summary.dim) == (40, 8, 3)
    assert summary.projection == "lda, 3 dimensions fitted on 32 images"
    assert read_manifest(tmp_path / "new")["projection"]["kind"] == "lda"
    vectors, _ = encode(Encoder.load(tmp_path / "new"), [picture(1)])
    assert vectors.shape == (1, 3)


def test_a_whitened_projection_is_that_of_the_features_in_use(make_encoder, tmp_path, pictures):
    make_encoder(tmp_path / "own", dim=None)
    make_encoder(tmp_path / "white", dim=6, projection="whitened", shrinkage=0.2)
    features, _ = encode(Encoder.load(tmp_path / "own"), pictures.values())
    found, _ = encode(Encoder.load(tmp_path / "white"), pictures.values())
    expected = unit_length(WhitenedPCA(6, 0.2).fit(features).apply(features))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_same_sample_gives_the_same_projection_and_int8_network(encoder, make_encoder, tmp_path):
    make_encoder(tmp_path / "again")
    ours, theirs = (
        json.loads((folder / "encoder.json").read_text())["files"] for folder in (encoder, tmp_path / "again")
    )
    assert ours["int8.tflite"] == theirs["int8.tflite"]
    assert ours["projection.npz"] == theirs["projection.npz"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variant": "int9"}, "variant=int9"),
        ({"pooling": "sum"}, "pooling=sum"),
        ({"dim": 0}, "dim=0"),
        ({"dim": -3}, "dim=-3"),
        ({"dim": 33}, "needs at least 33"),
        ({"dim": 25}, "needs at least 25"),
        ({"projection": "umap"}, "projection=umap|Received: umap"),
        ({"projection": "whitened", "dim": 25}, "needs at least 25"),
        ({"projection": "lda"}, "needs images with a class"),
        ({"test_time_augmentation": TestTimeAugmentation(scales=(0.1,))}, "0.889 or more"),
    ],
)
def test_what_cannot_be_built_is_refused_and_leaves_nothing(make_encoder, tmp_path, options, said):
    with pytest.raises(LookalikeError, match=said):
        make_encoder(tmp_path / "new", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_without_a_readable_image_is_refused(tmp_path):
    with pytest.raises(LookalikeError, match="No image of the sample could be read; 2 were tried"):
        build_bundle(
            tmp_path / "new", Backbone(tiny_network(), SPEC), [Example(b""), Example(b"x")], BundleRecipe("n")
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_link_to_an_empty_folder_stays_and_leads_to_the_bundle(make_encoder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    make_encoder(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "encoder.json").exists()


def test_a_folder_in_use_is_refused_and_kept(make_encoder, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LookalikeError, match="holds files"):
        make_encoder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_steps_of_an_encoder_are_given_when_it_is_built(pictures, make_encoder, tmp_path):
    make_encoder(
        tmp_path / "one", post_processing=PostProcessing(reranking=Reranking(short_list=9, k1=4, k2=2))
    )
    make_encoder(tmp_path / "two")
    one, two = read_manifest(tmp_path / "one"), read_manifest(tmp_path / "two")
    assert one["retrieval"]["reranking"] == {"short_list": 9, "k1": 4, "k2": 2, "mix": 0.3}
    assert two["retrieval"] is None
    assert fingerprint(one) == fingerprint(two)


def test_a_discriminant_projection_pairs_features_with_the_classes_of_their_images(make_encoder, tmp_path):
    images = [picture(seed) for seed in range(40)]
    labels = [f"class {seed // 10}" if seed % 3 else None for seed in range(40)]
    # Neither an image without a class nor one that cannot be read may shift those behind it.
    sample = [Example(b"no image", "class 0"), *map(Example, images, labels)]
    recipe = BundleRecipe("n", dim=3, projection="lda", shrinkage=0.1)
    build_bundle(tmp_path / "own", Backbone(tiny_network(), SPEC), sample, BundleRecipe("n", dim=None))
    build_bundle(tmp_path / "lda", Backbone(tiny_network(), SPEC), sample, recipe)
    features, _ = encode(Encoder.load(tmp_path / "own"), images)
    known = [i for i, label in enumerate(labels) if label]
    fitted = LDA(3, 0.1).fit(features[known], [str(labels[i]) for i in known])
    found, _ = encode(Encoder.load(tmp_path / "lda"), images)
    np.testing.assert_allclose(found, unit_length(fitted.apply(features)), atol=1e-4)


def test_int8_is_calibrated_on_images_from_all_over_the_sample(make_encoder, tmp_path, monkeypatch, pictures):
    seen = []

    def noted(saved_model, preprocess, pixels):
        seen.append(pixels)
        return quantise(saved_model, preprocess, pixels)

    quantise = export._quantise
    monkeypatch.setattr(export, "_quantise", noted)
    monkeypatch.setattr(export, "CALIBRATION_IMAGES", 4)
    make_encoder(tmp_path / "new")
    opened, images = Encoder.load(tmp_path / "new"), list(pictures.values())
    expected = [opened.preprocess.pixels(images[place])[0] for place in (0, 7, 15, 23)]
    np.testing.assert_array_equal(seen[0], expected)


def test_what_was_built_may_be_read_by_all(make_encoder, tmp_path):
    make_encoder(tmp_path / "made")
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o755


def test_pixels_enter_the_int8_network_as_they_are(tmp_path):
    """Its input scale is that of all pixels, also if the sample has neither dark nor light ones: none is rounded."""
    random = np.random.default_rng(0)
    greys = (random.integers(100, 150, (32, 32, 3), np.uint8) for _ in range(24))
    samples = [Example(cv2.imencode(".png", pixels)[1].tobytes()) for pixels in greys]
    build_bundle(tmp_path / "grey", Backbone(tiny_network(), SPEC), samples, BundleRecipe("grey", dim=16))
    opened = Encoder.load(tmp_path / "grey", variant="int8")
    network = opened.network
    quantization = network._interpreter().input_scale
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(network._quantised(levels, quantization, opened.preprocess), levels)


def test_int8_is_compared_with_float_on_images_outside_its_calibration(
    make_encoder, tmp_path, monkeypatch, pictures
):
    seen = []
    usual = export._compared
    monkeypatch.setattr(export, "_compared", lambda *given: seen.append(given[2]) or usual(*given))
    monkeypatch.setattr(export, "CALIBRATION_IMAGES", 4)
    make_encoder(tmp_path / "new")
    opened, images = Encoder.load(tmp_path / "new"), list(pictures.values())
    others = [opened.preprocess.pixels(images[n])[0] for n in range(24) if n not in (0, 7, 15, 23)]
    np.testing.assert_array_equal(seen[0][:, 0], others)
