"""Test-time augmentation: a picture mirrored and at several scales, averaged."""

import cv2
import numpy as np
import pytest

from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import fingerprint, read_manifest
from lookalike.model.encoder.projection import unit_length
from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import parse_spec
from lookalike.model.images.test_time_augmentation import AS_IS, TestTimeAugmentation
from tests.conftest import picture
from tests.support.encoding import encode

SPEC = parse_spec("decode|resize_short(36)|center_crop(32)|normalize(127,128)")


def mirrored(image):
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".png", pixels[:, ::-1])[1].tobytes()


def test_a_scale_changes_what_the_picture_is_resized_to():
    found = TestTimeAugmentation(scales=(1.0, 1.5, 0.89)).preprocessings(SPEC)
    assert [str(one) for one in found] == [
        str(SPEC),
        "decode|resize_short(54)|center_crop(32)|normalize(127,128)",
        "decode|resize_short(32)|center_crop(32)|normalize(127,128)",
    ]


def test_a_whole_picture_is_cut_only_where_it_is_made_larger():
    spec = parse_spec("decode|pad_square(255)|resize(32,32)|normalize(127,128)")
    found = TestTimeAugmentation(scales=(1.0, 1.1)).preprocessings(spec)
    assert [str(one) for one in found] == [
        str(spec),
        "decode|pad_square(255)|resize(35,35)|center_crop(32)|normalize(127,128)",
    ]


@pytest.mark.parametrize(
    ("scales", "spec", "message"),
    [
        ((0.5,), str(SPEC), "0.889 or more"),
        ((1.0, 1.2), "decode|resize(32,48)", "resize_short"),
        ((0.9,), "decode|resize(32,32)", "1 or more"),
        ((0.0,), str(SPEC), "above 0"),
        ((float("nan"),), str(SPEC), "above 0"),
        ((), str(SPEC), "above 0"),
        ((1.0, 1.0), str(SPEC), "each scale once"),
    ],
)
def test_scales_that_cannot_be_cut_are_refused(scales, spec, message):
    with pytest.raises(LookalikeError, match=message):
        TestTimeAugmentation(scales=scales).preprocessings(parse_spec(spec))


@pytest.mark.parametrize("variant", ["int8", "float"])
def test_with_flip_a_picture_and_its_mirror_image_have_one_vector(make_encoder, tmp_path, variant):
    make_encoder(tmp_path / "flip", test_time_augmentation=TestTimeAugmentation(flip=True))
    encoder = Encoder.load(tmp_path / "flip", variant=variant)
    # Square, so that the middle is cut out in the middle, and lossless.
    images = [picture(seed, 40, 40, ".png") for seed in range(5)]
    one, _ = encode(encoder, images)
    other, _ = encode(encoder, [mirrored(image) for image in images])
    np.testing.assert_allclose(one, other, atol=2e-6)


def test_features_are_the_average_over_the_variants(make_encoder, tmp_path, pictures):
    specs = {
        "plain": AS_IS,
        "large": TestTimeAugmentation(scales=(1.5,)),
        "both": TestTimeAugmentation(scales=(1.0, 1.5)),
    }
    found = {}
    for name, augmentation in specs.items():
        make_encoder(tmp_path / name, test_time_augmentation=augmentation, dim=None, variant="float")
        found[name], errors = encode(Encoder.load(tmp_path / name), [*pictures.values(), b"broken"])
        assert list(errors) == [24]
    expected = unit_length((found["plain"] + found["large"])[:24] / 2)
    np.testing.assert_allclose(found["both"][:24], expected, atol=1e-6)
    assert np.abs(found["plain"] - found["large"])[:24].max() > 1e-3


def test_views_are_part_of_the_fingerprint_and_absent_from_it_where_there_are_none(
    make_encoder, encoder, tmp_path
):
    make_encoder(tmp_path / "flip", test_time_augmentation=TestTimeAugmentation(flip=True))
    plain, flip = read_manifest(encoder), read_manifest(tmp_path / "flip")
    assert "views" not in plain
    assert fingerprint(flip) != fingerprint({key: value for key, value in flip.items() if key != "views"})


def test_a_vector_does_not_depend_on_its_batch(make_encoder, tmp_path, pictures):
    make_encoder(
        tmp_path / "views", test_time_augmentation=TestTimeAugmentation(flip=True, scales=(1.0, 1.2))
    )
    encoder = Encoder.load(tmp_path / "views")
    together, _ = encode(encoder, pictures.values())
    alone = np.concatenate([encode(encoder, [image])[0] for image in pictures.values()])
    np.testing.assert_array_equal(together, alone)
