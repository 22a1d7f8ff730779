"""Thumbnails of a page: each once, as many as there is room for, with a reason for each that is missing."""

from __future__ import annotations

import base64
import hashlib

import cv2
import numpy as np
import pytest

from lookalike.model.images.boxes import Box, PartOfImage
from lookalike.pages.album import ITEM, QUERY, SIDE, Album, Picture, thumbnail


@pytest.mark.parametrize("shape", [(400, 300), (30, 20), (5000, 3), (1, 1)])
def test_a_thumbnail_fits_and_is_never_larger(shape: tuple[int, int]) -> None:
    made = thumbnail(np.zeros((*shape, 3), np.uint8), "")
    decoded = cv2.imdecode(np.frombuffer(made.webp, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (made.height, made.width, 3)
    assert max(made.height, made.width) == min(SIDE, max(shape))


def test_a_thumbnail_has_the_colours_of_its_picture() -> None:
    red = np.zeros((50, 50, 3), np.uint8)
    red[..., 0] = 200
    decoded = cv2.imdecode(np.frombuffer(thumbnail(red, "").webp, np.uint8), cv2.IMREAD_COLOR)
    assert decoded[25, 25, 2] > 180
    assert decoded[25, 25, 0] < 40


def test_a_picture_is_made_for_each_id_that_is_shown(pictures) -> None:
    album = Album()
    one, other = pictures["p00.jpg"], pictures["p01.jpg"]
    album.add(ITEM, [("a", one), ("b", other), ("copy of a", one), ("a", other)])
    a, copy, b = (album.show(ITEM, name) for name in ("a", "copy of a", "b"))
    assert a == copy != b
    assert a.sha256 == hashlib.sha256(one).hexdigest()
    assert album.shown == 3
    kind, content = str(a.address).split(",")
    assert kind == "data:image/webp;base64"
    assert cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR) is not None


def test_pictures_of_items_and_queries_with_one_id_are_told_apart(pictures) -> None:
    album = Album()
    album.add(ITEM, [("a", pictures["p00.jpg"])])
    album.add(QUERY, [("a", pictures["p01.jpg"])])
    assert album.show(ITEM, "a") != album.show(QUERY, "a")


def test_what_cannot_be_decoded_or_was_not_found_has_a_reason() -> None:
    album = Album()
    album.add(ITEM, [("broken", b"no image")])
    album.without(QUERY, "the query is a vector")
    assert album.show(ITEM, "broken").address is None
    assert album.show(ITEM, "broken").reason
    assert album.show(ITEM, "missing").reason == "the picture was not found"
    assert album.show(QUERY, "q").reason == "the query is a vector"
    assert not album.shown


def test_a_full_page_takes_no_more_pictures(pictures) -> None:
    one, other = pictures["p00.jpg"], pictures["p01.jpg"]
    whole = Album()
    whole.add(ITEM, [("a", one)])
    size = len(str(whole.show(ITEM, "a").address))
    album = Album(most_bytes=2 * size)
    album.add(ITEM, [("a", one), ("b", other)])
    shown = [album.show(ITEM, "a"), album.show(ITEM, "a"), album.show(ITEM, "b")]
    assert [bool(picture.address) for picture in shown] == [True, True, False]
    assert shown[2].reason == "left out, the page is full"
    assert album.left_out == 1


def test_thumbnails_are_the_same_bytes_each_time(pictures) -> None:
    def made() -> list[Picture]:
        album = Album()
        album.add(ITEM, pictures.items())
        return [album.show(ITEM, name) for name in sorted(pictures)]

    assert made() == made()


def test_a_box_is_of_the_picture_at_full_resolution() -> None:
    large = np.zeros((1600, 1600, 3), np.uint8)
    large[800:, 800:] = 255
    data = cv2.imencode(".jpg", large)[1].tobytes()
    album = Album()
    album.add(ITEM, [("a", PartOfImage(data, Box(800, 800, 1600, 1600)))])
    shown = album.show(ITEM, "a")
    webp = base64.b64decode(str(shown.address).split(",")[1])
    assert cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR).min() > 240
