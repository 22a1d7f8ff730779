"""A look at new pictures: tiny, dark, blurred."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.nightly.pictures import Flawed, Pictures, flaws_of, picture_lines
from tests.conftest import Job, picture


def encoded(pixels: np.ndarray, form: str = ".png") -> bytes:
    return cv2.imencode(form, pixels)[1].tobytes()


NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "flaws"),
    [
        (NOISE, []),
        (NOISE[:99], ["tiny"]),
        (NOISE[:100, :100], []),
        (NOISE // 8, ["dark"]),
        (cv2.GaussianBlur(NOISE, (0, 0), 8), ["blurred"]),
        (np.full((300, 400, 3), 255, np.uint8), ["blurred"]),
        (np.zeros((1, 9000, 3), np.uint8), ["tiny", "dark", "blurred"]),
    ],
)
def test_a_picture_has_the_flaws_that_were_put_into_it(pixels, flaws):
    assert flaws_of(encoded(pixels)) == flaws


def test_sizes_are_those_of_the_file_and_not_of_what_is_decoded():
    large = cv2.resize(NOISE, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    assert flaws_of(encoded(large, ".jpg")) == []


def test_what_is_rare_is_passed_over_and_what_is_broken_is_an_error():
    assert flaws_of(encoded(NOISE, ".bmp")) is None
    with pytest.raises(ImageError):
        flaws_of(b"no image")


def test_a_night_tells_of_the_pictures_that_it_read_and_the_next_one_of_none(job: Job):
    noise = {f"n{n}.png": encoded(np.roll(NOISE, n)) for n in range(4)}
    job.pack({**noise, "black.png": encoded(NOISE // 9), "small.jpg": picture(1)})
    done = job.nightly()
    told = job.store / "reports" / "latest.json"
    assert done.code == 0
    found = json.loads(told.read_text())["pictures"]
    assert found["looked_at"] == 6
    assert found["flaws"]["dark"] == {"count": 1, "item_ids": ["black.png"]}
    assert found["flaws"]["tiny"] == {"count": 1, "item_ids": ["small.jpg"]}
    assert 'flaw="dark"' in (job.store / "reports" / "lookalike.prom").read_text()
    job.nightly()
    assert json.loads(told.read_text())["pictures"] is None


def test_a_shard_with_a_reject_is_not_decoded_again(job: Job):
    job.set(gates={"max_reject_fraction": 0.5})
    job.pack({"a.png": encoded(NOISE), "b.png": b"no image"})
    job.nightly()
    assert json.loads((job.store / "reports" / "latest.json").read_text())["pictures"] is None


def test_as_text():
    flaws = {"dark": Flawed(3, ("a", "b", "c")), "tiny": Flawed(1, ("d",))}
    assert [*picture_lines(Pictures(200, flaws))] == [
        "pictures     of 200 new ones looked at: 3 dark (a, b), 1 tiny (d)"
    ]
    assert [*picture_lines(Pictures(9, {}))] == [
        "pictures     of 9 new ones looked at: none is tiny, dark or blurred"
    ]
