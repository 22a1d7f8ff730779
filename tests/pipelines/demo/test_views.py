import hashlib
import os

import numpy as np
import pytest

from lookalike.demo.views import LONGEST_SIDE, broken_files, open_photograph, views
from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode

PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


def jpeg() -> bytes:
    return next(content for extension, content in views(PHOTOGRAPH, 100, [0]) if extension == "jpg")


def test_the_same_seed_gives_the_same_views_and_another_seed_others():
    def digests(seed: int) -> list[str]:
        return [hashlib.sha256(content).hexdigest() for _, content in views(PHOTOGRAPH, 5, [seed])]

    assert digests(1) == digests(1)
    assert not set(digests(1)) & set(digests(2))


def test_views_differ_come_in_three_formats_and_can_be_read():
    made = list(views(PHOTOGRAPH, 40, [3]))
    assert {extension for extension, _ in made} == {"jpg", "png", "webp"}
    assert len({content for _, content in made}) == 40
    for _, content in made:
        image = decode(content)
        assert 250 <= max(image.width, image.height) <= 450


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (2000, 3, 3)])
def test_a_photograph_of_any_shape_has_views(shape):
    made = list(views(np.full(shape, 128, np.uint8), 10, [4]))
    assert all(min(decode(content).pixels.shape[:2]) >= 1 for _, content in made)


def test_a_large_photograph_is_reduced(tmp_path):
    content = next(content for extension, content in views(PHOTOGRAPH, 100, [5]) if extension == "png")
    (tmp_path / "small.png").write_bytes(content)
    assert open_photograph(tmp_path / "small.png").shape == decode(content).pixels.shape

    import cv2

    cv2.imwrite(str(tmp_path / "large.jpg"), np.zeros((3000, 1500, 3), np.uint8))
    assert open_photograph(tmp_path / "large.jpg").shape == (LONGEST_SIDE, LONGEST_SIDE // 2, 3)


@pytest.mark.parametrize("name", sorted(broken_files(b"")))
def test_every_broken_file_is_one(name):
    with pytest.raises(ImageError):
        decode(broken_files(jpeg())[name])


def test_a_photograph_of_a_terabyte_is_not_read(tmp_path):
    (tmp_path / "sparse.jpg").touch()
    os.truncate(tmp_path / "sparse.jpg", 1 << 40)
    with pytest.raises(ImageError, match="1,099,511,627,776 bytes, more than"):
        open_photograph(tmp_path / "sparse.jpg")
