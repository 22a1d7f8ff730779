"""An encoder for programs: any mix of images to vectors, those that fail by their position."""

from __future__ import annotations

import io
import os
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

import lookalike
from lookalike.model.encoder.bundle import Encoder as Bundle
from lookalike.model.errors import LookalikeError


@pytest.fixture(scope="module")
def opened(encoder):
    return lookalike.open_encoder(encoder)


def test_any_mix_of_kinds_has_the_vectors_of_the_files(opened, encoder, pictures, tmp_path):
    png = [data for name, data in pictures.items() if name.endswith(".png")]
    (tmp_path / "a.png").write_bytes(png[0])
    pixels = cv2.imdecode(np.frombuffer(png[1], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    mixed = [tmp_path / "a.png", pixels, Image.open(io.BytesIO(png[2])), png[3], str(tmp_path / "a.png")]
    expected = Bundle.load(encoder).encode_batch([*png[:4], png[0]]).vectors
    found = opened.encode(image for image in mixed)
    assert found.dtype == np.float32
    assert (found == expected).all()
    assert np.allclose(np.linalg.norm(found, axis=1), 1)


def test_one_image_is_one_row_and_none_are_none(opened, pictures):
    assert opened.encode(next(iter(pictures.values()))).shape == (1, opened.dimensions)
    assert opened.encode([]).shape == (0, opened.dimensions)
    assert opened.encode([], errors="collect").errors == {}


def test_what_it_is_called(opened, encoder):
    assert opened.fingerprint == Bundle.load(encoder).fingerprint
    assert repr(opened).startswith(f"<lookalike.Encoder tiny {opened.fingerprint[:16]}, 16 dimensions>")


def test_a_name_by_somebody_else_does_not_act_on_a_terminal(encoder, monkeypatch):
    one = lookalike.open_encoder(encoder)
    monkeypatch.setattr(type(one), "name", "a\x1b[2J\n\u202e", raising=False)
    assert repr(one).isprintable()
    job = lookalike.open_job({"corpus": {"shards": "a"}, "encoder": "b", "store": "s3://me:secret@b/\x1b[2J"})
    assert repr(job) == "<lookalike.Job on s3://***@b/\\x1b[2J>"


def test_images_that_fail_are_collected_wherever_they_are(opened, pictures, tmp_path):
    good = list(pictures.values())
    # Beyond a batch, and at both ends.
    images = [b"no image", *good[:9], tmp_path / "gone.jpg", *good[9:12], good[12][:-100]]
    vectors, errors = opened.encode(images, errors="collect")
    assert list(errors) == [0, 10, 14]
    assert "No such file" in errors[10]
    assert np.isnan(vectors[[0, 10, 14]]).all()
    kept = [i for i in range(15) if i not in errors]
    assert (vectors[kept] == opened.encode([images[i] for i in kept])).all()


def test_the_first_that_fails_is_named_by_position_and_path(opened, pictures, tmp_path):
    good = list(pictures.values())[:10]
    with pytest.raises(
        LookalikeError, match=r"^Expected an image at position 10 \(.*gone.jpg\). Received: .*No such"
    ):
        opened.encode([*good, tmp_path / "gone.jpg", b"no image"])
    with pytest.raises(LookalikeError, match=r"position 0. Received: .*"):
        opened.encode(b"")


def test_what_is_no_image_is_an_error_also_where_others_are_collected(opened):
    with pytest.raises(LookalikeError, match=r"uint8 at position 1. Received: float64"):
        opened.encode([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3))], errors="collect")
    with pytest.raises(LookalikeError, match=r"errors to be raise or collect. Received: 'ignore'"):
        opened.encode([], errors="ignore")


def test_a_generator_is_not_read_far_ahead(opened, pictures):
    picture, read = next(iter(pictures.values())), 0

    def images():
        nonlocal read
        for _ in range(1000):
            read += 1
            yield picture

    next(opened.batches(images()))
    assert read < 100


def test_threads_may_share_one(opened, pictures):
    images = list(pictures.values())
    expected, found = opened.encode(images), [None] * 4

    def encode(place):
        found[place] = opened.encode(images)

    threads = [threading.Thread(target=encode, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((one == expected).all() for one in found)


def test_larger_pictures_than_allowed_are_refused(encoder, pictures):
    opened = lookalike.open_encoder(str(encoder), max_pixels=100)
    _, errors = opened.encode(list(pictures.values())[:1], errors="collect")
    assert "pixels" in errors[0]


def test_a_folder_that_is_no_encoder_is_a_sentence(tmp_path):
    with pytest.raises(LookalikeError):
        lookalike.open_encoder(tmp_path)


def test_a_process_that_was_forked_is_told_to_open_its_own(opened, monkeypatch):
    """It has none of the threads, and would wait for them for ever."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(LookalikeError, match=r"^Expected the process that opened the encoder"):
        opened.encode(b"")
