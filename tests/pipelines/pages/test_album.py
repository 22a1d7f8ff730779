"""Thumbnails of a page: each once, as many as there is room for, with a reason for each that is missing."""

from __future__ import annotations

import base64
import hashlib

import cv2
import numpy as np
import pytest

from lookalike.pages import album as of
from lookalike.pages.album import ITEM, QUERY, SIDE, Album, thumbnail, thumbnail_or_reason


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


def test_a_picture_is_defined_once_however_often_it_is_shown(pictures) -> None:
    album = Album()
    one, other = pictures["p00.jpg"], pictures["p01.jpg"]
    album.add(ITEM, [("a", one), ("b", other), ("copy of a", one)])
    album.add(QUERY, [("a", one)])
    shown = [
        album.show(ITEM, "a"),
        album.show(ITEM, "copy of a"),
        album.show(QUERY, "a"),
        album.show(ITEM, "b"),
    ]
    assert [picture.number for picture in shown] == [0, 0, 0, 1]
    assert shown[0].sha256 == hashlib.sha256(one).hexdigest()
    assert len(album.definitions) == 2
    kind, content = album.definitions[0].address.split(",")
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
    assert album.show(ITEM, "broken").number is None
    assert album.show(ITEM, "broken").reason
    assert album.show(ITEM, "missing").reason == "the picture was not found"
    assert album.show(QUERY, "q").reason == "the query is a vector"
    assert not album.definitions


def test_a_full_page_takes_no_more_pictures_but_shows_those_it_has(pictures) -> None:
    one, other = pictures["p00.jpg"], pictures["p01.jpg"]
    made = thumbnail_or_reason(one)
    assert isinstance(made, of.Thumbnail)
    album = Album(most_bytes=len(made.webp))
    album.add(ITEM, [("a", one), ("b", other)])
    assert album.show(ITEM, "a").number == 0
    assert album.show(ITEM, "b").reason == "left out, the page is full"
    assert album.show(ITEM, "a").number == 0
    assert album.left_out == 1


def test_the_definitions_are_the_same_bytes_each_time(pictures) -> None:
    def made() -> list[of.Definition]:
        album = Album()
        album.add(ITEM, pictures.items())
        for name in sorted(pictures):
            album.show(ITEM, name)
        return album.definitions

    assert made() == made()
