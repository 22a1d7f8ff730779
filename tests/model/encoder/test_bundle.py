"""The encoder bundle: whole or refused, and a vector that depends on nothing but its image."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.model.encoder.manifest import fingerprint, manifest_digest, read_manifest
from lookalike.model.errors import LookalikeError
from lookalike.model.images.test_time_augmentation import TestTimeAugmentation
from tests.conftest import DIM, SPEC, picture, tiny_network
from tests.support.encoding import encode

BUNDLE = ("encoder.json", "int8.tflite", "projection.npz", "saved_model/saved_model.pb")


@pytest.fixture
def bundle(encoder, tmp_path) -> Path:
    """A bundle that may be damaged."""
    return Path(shutil.copytree(encoder, tmp_path / "bundle"))


def refused(folder, **options) -> str:
    with pytest.raises(LookalikeError) as error:
        Encoder.load(folder, **options)
    return str(error.value)


@pytest.mark.parametrize("variant", ["int8", "float"])
def test_vectors_are_finite_of_unit_length_and_the_same_every_time(encoder, pictures, variant):
    images = list(pictures.values())
    vectors, errors = encode(Encoder.load(encoder, variant=variant), images)
    assert (vectors.shape, vectors.dtype, errors) == ((24, DIM), np.float32, {})
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    again, _ = encode(Encoder.load(encoder, variant=variant, threads=1), images)
    np.testing.assert_array_equal(vectors, again)


@pytest.mark.parametrize("variant", ["int8", "float"])
def test_a_vector_is_the_same_to_the_bit_alone_and_in_any_company(encoder, pictures, variant):
    images = list(pictures.values())
    opened = Encoder.load(encoder, variant=variant)
    together, _ = encode(opened, images)
    alone = np.concatenate([encode(opened, [image])[0] for image in images])
    np.testing.assert_array_equal(together, alone)
    backwards, _ = encode(opened, images[::-1])
    np.testing.assert_array_equal(together, backwards[::-1])
    with_bad, _ = encode(opened, [b"", *images[:5]])
    np.testing.assert_array_equal(together[:5], with_bad[1:])


def test_int8_and_float_are_close_and_have_fingerprints_of_their_own(encoder, pictures):
    int8, float32 = (Encoder.load(encoder, variant=variant) for variant in ("int8", "float"))
    a, b = (encode(opened, pictures.values())[0] for opened in (int8, float32))
    assert (a * b).sum(axis=1).mean() > 0.98
    assert int8.fingerprint != float32.fingerprint
    assert int8.fingerprint == fingerprint(read_manifest(encoder)) == Encoder.load(encoder).fingerprint


def test_an_image_that_cannot_be_read_has_a_reason_and_no_vector(encoder):
    batch = Encoder.load(encoder).encode_batch([picture(1), b"text", picture(2)[:100]])
    assert sorted(batch.errors) == [1, 2]
    assert np.isfinite(batch.vectors).all(axis=1).tolist() == [True, False, False]
    assert batch.sizes.tolist() == [[48, 40], [0, 0], [0, 0]]


def test_a_picture_larger_than_allowed_is_refused_from_its_header(encoder):
    _, errors = encode(Encoder.load(encoder, max_pixels=48 * 40 - 1), [picture(1)])
    assert list(errors) == [0]
    assert "1920" in errors[0].replace(",", "") or "48" in errors[0]


def test_no_images_give_no_vectors(encoder):
    vectors, errors = encode(Encoder.load(encoder), [])
    assert (vectors.shape, errors) == ((0, DIM), {})


def test_map_keeps_the_order_and_takes_only_a_few_batches_ahead(encoder):
    opened = Encoder.load(encoder, threads=2)
    taken = []

    def batches():
        for number in range(30):
            taken.append(number)
            yield [picture(number)]

    results = opened.map(batches())
    first = next(results)
    assert len(taken) <= 3 * 2 + 1
    vectors = np.concatenate([first.vectors, *(batch.vectors for batch in results)])
    np.testing.assert_array_equal(vectors, encode(opened, [picture(i) for i in range(30)])[0])


def test_a_batch_that_is_too_large_is_refused(encoder):
    with pytest.raises(ValueError, match=f"at most {BATCH} images. Received: 9"):
        Encoder.load(encoder).encode_batch([b""] * 9)


@pytest.mark.parametrize("name", BUNDLE)
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "empty"])
def test_a_damaged_file_of_a_bundle_is_named(bundle, name, damage):
    path = bundle / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "flip":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        path.write_bytes(b"" if damage == "empty" else content[:-3])
    assert name in refused(bundle)


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ("normalize(127,128)", "normalize(117,128)"),
        ('"dim": 16', '"dim": 17'),
        ("center_crop(32)", "center_crop(33)"),
        ('"dim"', '"din"'),
        ('"name": "tiny"', '"name": "tony"'),
        ('"variant": "int8"', '"variant": "int9"'),
    ],
)
def test_a_manifest_that_someone_changed_is_refused(bundle, find, replace):
    path = bundle / "encoder.json"
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, replace))
    assert f"The encoder is damaged: {path}" in refused(bundle)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"format": 2}', '{"format": 1}', "\0\0\0"])
def test_what_is_no_manifest_is_refused(bundle, text):
    (bundle / "encoder.json").write_text(text)
    assert str(bundle / "encoder.json") in refused(bundle)


def test_what_is_no_bundle_says_how_to_make_one(tmp_path):
    assert "lookalike encoder build" in refused(tmp_path)
    assert "lookalike encoder build" in refused(tmp_path / "nothing")


def test_an_unknown_variant_is_refused(encoder):
    assert "Received: int4" in refused(encoder, variant="int4")


def test_what_decides_the_numbers_decides_the_fingerprint_and_the_name_does_not(encoder):
    manifest = read_manifest(encoder)
    known = fingerprint(manifest)
    assert fingerprint({**manifest, "name": "another"}) == known
    for change in ({"preprocessing": SPEC.replace("127", "126")}, {"unit_length": False}, {"pooling": "max"}):
        assert fingerprint({**manifest, **change}) != known
    assert manifest["digest"] == manifest_digest(manifest)


def test_without_unit_length_vectors_keep_their_length(make_encoder, tmp_path, pictures):
    summary = make_encoder(tmp_path / "long", unit_length=False, variant="float")
    vectors, _ = encode(Encoder.load(tmp_path / "long"), pictures.values())
    assert summary.dim == DIM
    assert np.ptp(np.linalg.norm(vectors, axis=1)) > 0.05


def test_the_float_variant_is_the_network_itself(make_encoder, tmp_path, pictures):
    make_encoder(tmp_path / "raw", dim=None, unit_length=False, variant="float")
    opened = Encoder.load(tmp_path / "raw")
    image = pictures["p00.jpg"]
    pixels = opened.preprocess.pixels(image)[0]
    expected = tiny_network()((pixels[None].astype(np.float32) - 127) / 128).numpy()
    np.testing.assert_allclose(encode(opened, [image])[0], expected, atol=1e-5)


def test_gem_pools_the_feature_map_outside_the_network(make_encoder, tmp_path, pictures):
    make_encoder(tmp_path / "gem", pooling="gem", pool=False, dim=None, unit_length=False, variant="float")
    opened = Encoder.load(tmp_path / "gem")
    pixels = opened.preprocess.pixels(pictures["p00.jpg"])[0]
    feature_map = tiny_network(pool=False)((pixels[None].astype(np.float32) - 127) / 128).numpy()
    expected = np.cbrt((np.maximum(feature_map, 1e-6) ** 3).mean(axis=(1, 2)))
    np.testing.assert_allclose(encode(opened, [pictures["p00.jpg"]])[0], expected, rtol=1e-4)


DECIDES = {
    "format": 2,
    "dim": 17,
    "preprocessing": SPEC.replace("127", "126"),
    "pooling": "gem",
    "unit_length": False,
    "variant": "float",
    "views": {"flip": True, "scales": [1.0]},
}
"""Field of the manifest -> another value, by which vectors become others."""
DOES_NOT = {"name": "other", "digest": "0", "retrieval": {"reranking": {"short_list": 9}}, "projection": {}}
"""What is said of an encoder, or done after the vectors; the projection itself is one of the files."""


@pytest.fixture(scope="module")
def full_manifest(make_encoder, tmp_path_factory):
    """With every field that there can be."""
    folder = tmp_path_factory.mktemp("full") / "encoder"
    make_encoder(folder, test_time_augmentation=TestTimeAugmentation(flip=True, scales=(1.0, 1.1)))
    return read_manifest(folder)


def test_of_every_field_of_a_manifest_it_is_known_whether_it_decides_the_fingerprint(full_manifest):
    assert set(full_manifest) == {*DECIDES, *DOES_NOT, "files"}


@pytest.mark.parametrize("field", [*DECIDES, *DOES_NOT])
def test_a_field_decides_the_fingerprint_if_it_decides_vectors(full_manifest, field):
    changed = {**full_manifest, field: {**DECIDES, **DOES_NOT}[field]}
    assert changed != full_manifest
    assert (fingerprint(changed) != fingerprint(full_manifest)) == (field in DECIDES)


@pytest.mark.parametrize("variant", ["int8", "float"])
def test_the_files_of_a_variant_decide_its_fingerprint(full_manifest, variant):
    for file in full_manifest["files"]:
        changed = {**full_manifest, "files": {**full_manifest["files"], file: "0" * 64}}
        of_variant = file == "projection.npz" or (file == "int8.tflite") == (variant == "int8")
        assert (fingerprint(changed, variant) != fingerprint(full_manifest, variant)) == of_variant, file


def test_the_float_network_is_always_asked_with_as_many_images(encoder, monkeypatch):
    """A product's rounding depends on the number of rows."""
    opened = Encoder.load(encoder, variant="float")
    serve, seen = opened.network._model.serve, []
    monkeypatch.setattr(
        opened.network._model, "serve", lambda batch: seen.append(len(batch)) or serve(batch), raising=False
    )
    for count in (1, BATCH):
        encode(opened, [picture(number) for number in range(count)])
    assert set(seen) == {BATCH}


def test_an_image_that_has_no_direction_has_a_reason_and_no_vector(encoder, monkeypatch):
    opened = Encoder.load(encoder)
    usual = opened.encode_pixels
    monkeypatch.setattr(
        opened, "encode_pixels", lambda pixels: usual(pixels) * np.array([[1], [0]], np.float32)
    )
    batch = opened.encode_batch([picture(1), picture(2)])
    assert batch.errors == {1: "the network gave a vector of zeros, which has no direction"}
    assert np.isfinite(batch.vectors[0]).all()
    assert np.isnan(batch.vectors[1]).all()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            RuntimeError("gather index out of bounds\nmore"),
            "cannot compute vectors of pictures: gather index",
        ),
        (np.zeros((1, 32), np.int8), "Received: int8"),
        (np.zeros((2, 32), np.float32), r"Received: float32 \(2, 32\)"),
        (np.zeros((1, 7), np.float32), r"Received: float32 \(1, 7\)"),
        (np.float32(7), r"Received: float32 \(\)"),
        (np.array([["x"] * 32]), "Received: <U1"),
    ],
)
def test_a_network_that_fails_on_a_picture_is_one_sentence(encoder, monkeypatch, answer, sentence):
    opened = Encoder.load(encoder)

    def run(*_):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(opened.network, "run", run)
    with pytest.raises(LookalikeError, match=sentence) as raised:
        opened.encode_batch([picture(1)])
    assert f"{encoder}" in str(raised.value)
    assert "\n" not in str(raised.value)
