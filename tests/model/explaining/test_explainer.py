"""Explanations by the encoders that `build_bundle` makes."""

import numpy as np
import pytest

from lookalike.model import imports
from lookalike.model.encoder import export
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.export import BundleRecipe, Example, build_bundle
from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.explaining.explainer import Explainer
from lookalike.model.explaining.occlusion import blurred, replaced
from lookalike.model.explaining.removal import removal_areas
from lookalike.model.images.test_time_augmentation import TestTimeAugmentation
from lookalike.model.networks import Backbone, backbone
from tests.conftest import SPEC, picture, tiny_network
from tests.support.places import CLOTHING


def score_of_bundle(folder, *images):
    vectors = Encoder.load(folder, variant="float").encode_batch(images).vectors.astype(np.float64)
    return float(vectors[0] @ vectors[1] / np.prod(np.linalg.norm(vectors, axis=1)))


def check(explainer, folder, *images):
    """Explains two pictures; the shares of each map, and of all pairs, must add up to the score of the bundle."""
    found = explainer.explain(*images)
    assert found.adds_up
    assert found.pairs.shape == (8, 8, 8, 8)
    for shares in (found.pairs, found.query_map, found.match_map):
        assert abs(float(shares.sum()) - score_of_bundle(folder, *images)) < 1e-5
    assert np.allclose(found.pairs.sum((2, 3)), found.query_map)
    assert np.allclose(found.pairs.sum((0, 1)), found.match_map)


def test_shares_add_up_to_the_score_of_the_bundle(encoder):
    explainer = Explainer.load(encoder)
    for seed in range(50, 53):
        check(explainer, encoder, picture(seed), picture(seed + 10, 70, 90))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"dim": None}, {"unit_length": False}, {"pool": False, "pooling": "gem"}],
    ids=["not projected", "not of unit length", "gem"],
)
def test_shares_add_up_to_the_score_of_other_bundles(make_encoder, tmp_path, options):
    make_encoder(tmp_path / "encoder", variant="float", **options)
    check(Explainer.load(tmp_path / "encoder"), tmp_path / "encoder", picture(50), picture(60, 70, 90))


def test_pictures_are_shown_as_the_network_sees_them(encoder):
    explainer = Explainer.load(encoder)
    image = picture(3, 96, 48)
    found = explainer.explain(image, picture(4))
    assert np.array_equal(found.query_pixels, explainer.encoder.preprocess.pixels(image)[0])
    assert found.query_pixels.shape == found.match_pixels.shape == (32, 32, 3)


def test_a_picture_and_itself_agree_wholly_and_the_maps_are_the_same(encoder):
    found = Explainer.load(encoder).explain(picture(3), picture(3))
    assert found.score == pytest.approx(1, abs=1e-6)
    assert np.allclose(found.query_map, found.match_map)


@pytest.mark.slow
def test_of_a_network_that_is_not_linear_behind_its_pooling_places_are_covered(tmp_path, pictures):
    keras = imports.keras()
    tiny = tiny_network()
    bent = keras.Model(tiny.input, keras.layers.Dense(20, activation="relu", name="bent")(tiny.output))
    recipe = BundleRecipe("bent", dim=None, variant="float")
    build_bundle(tmp_path / "encoder", Backbone(bent, SPEC), map(Example, pictures.values()), recipe)
    explainer = Explainer.load(tmp_path / "encoder")
    found = explainer.explain(picture(50), picture(51))
    assert not found.adds_up
    assert found.pairs is None
    assert found.query_map.shape == found.match_map.shape == (8, 8)
    assert found.score == pytest.approx(
        score_of_bundle(tmp_path / "encoder", picture(50), picture(51)), abs=1e-6
    )
    corner = np.zeros((8, 8), bool)
    corner[0, 0] = True
    covered = replaced(found.query_pixels, blurred(found.query_pixels), corner)
    first, second = explainer.vectors(np.stack([covered, found.match_pixels])).astype(np.float64)
    assert found.query_map[0, 0] == pytest.approx(found.score - first @ second, abs=1e-6)


@pytest.mark.slow
def test_the_plain_picture_is_explained_where_jobs_average_several(make_encoder, tmp_path):
    make_encoder(
        tmp_path / "flipped",
        dim=None,
        variant="float",
        test_time_augmentation=TestTimeAugmentation(flip=True),
    )
    make_encoder(tmp_path / "plain", dim=None, variant="float")
    images = picture(50), picture(51)
    found = Explainer.load(tmp_path / "flipped").explain(*images)
    assert found.score == pytest.approx(score_of_bundle(tmp_path / "plain", *images), abs=1e-6)
    assert found.pairs.sum() == pytest.approx(found.score, abs=1e-5)


def test_what_cannot_be_explained_is_refused(encoder):
    with pytest.raises(LookalikeError, match="Expected the float variant of an encoder"):
        Explainer(Encoder.load(encoder, variant="int8"))
    with pytest.raises(ImageError):
        Explainer.load(encoder).explain(b"no picture", picture(1))


@pytest.mark.slow
def test_shares_of_real_photographs_add_up_and_the_greatest_are_missed_most(tmp_path, monkeypatch):
    if not CLOTHING.exists():
        pytest.skip("needs ../shared/data/clothing")
    # The int8 network is not asked.
    monkeypatch.setattr(export, "_quantise", lambda *_: b"")
    monkeypatch.setattr(export, "_compared", lambda *_: (1.0, {}))
    photographs = [path.read_bytes() for path in sorted(CLOTHING.glob("validation/*/*.jpg"))[::2]]
    recipe = BundleRecipe("lite0", dim=32, variant="float")
    build_bundle(tmp_path / "lite0", backbone("efficientnet_lite0"), map(Example, photographs[::2]), recipe)
    explainer = Explainer.load(tmp_path / "lite0")
    gained = []
    for number in range(1, 160, 20):
        query, match = photographs[number], photographs[number + 2]
        found = explainer.explain(query, match)
        vectors = explainer.encoder.encode_batch([query, match]).vectors.astype(np.float64)
        assert abs(found.pairs.sum() - vectors[0] @ vectors[1]) < 1e-5
        end, score_of = blurred(found.query_pixels), explainer.score_with(vectors[1])
        areas = removal_areas(found.query_pixels, end, found.query_map, score_of, steps=7, orders=2)
        gained.append(areas.at_random - areas.by_share)
    assert np.mean(gained) > 0.01, gained
