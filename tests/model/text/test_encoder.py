"""Texts to vectors, and a reason for each that has none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.model.encoder.manifest import fingerprint, read_manifest
from lookalike.model.errors import LookalikeError
from lookalike.model.text.bundle import vocabulary
from lookalike.model.text.class_names import ClassNames
from lookalike.model.text.encoder import TextEncoder, word_piece
from lookalike.model.text.minilm import DIM
from tests.support.texts import add_labels, reader


@pytest.fixture(scope="module")
def opened(encoder, tmp_path_factory) -> TextEncoder:
    folder: Path = tmp_path_factory.mktemp("texts") / "bundle"
    shutil.copytree(encoder, folder)
    add_labels(folder)
    return TextEncoder.load(folder, fingerprint(read_manifest(folder)), threads=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \u200b\n", "empty"),
        ("красное платье", "most letters of this text are Cyrillic"),
        ("赤いドレス", "most letters of this text are Katakana"),
        ("a אבגד", "most letters of this text are Hebrew"),
        ("👗👠", "knows no word"),
        ("x" * 101, "knows no word"),
    ],
)
def test_what_cannot_be_read_has_a_reason_and_the_others_a_vector(opened, text, reason):
    found = opened.encode(["red", text, "a dress"])
    assert list(found.errors) == [1]
    assert reason in found.errors[1]
    assert np.isfinite(found.vectors).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize("text", ["naïve café", "Ｒ red", "90 %", "red 赤", "👗 red"])
def test_english_with_something_else_is_read(opened, text):
    assert not opened.encode([text]).errors


def test_a_label_is_told_and_a_long_text_is_cut(opened):
    found = opened.encode(["blue", "red " * 254, "red " * 255, "red " * 300])
    assert (found.understood[0], found.cut) == ("blue", [2, 3])
    np.testing.assert_array_equal(found.vectors[2], found.vectors[1])


def test_no_vector_depends_on_the_others(opened):
    texts = ["red", "a long blue dress", "", "hat", "blue"]
    whole = opened.encode(texts).vectors
    for place in (0, 1, 3):
        np.testing.assert_array_equal(opened.encode([texts[place]]).vectors[0], whole[place])
    assert opened.encode([]).vectors.shape[0] == 0


def test_texts_may_go_by_names_of_classes(opened):
    names = ("a", "b", "c", "d", "e", "f")
    classes = ClassNames(names, reader().read(names).vectors, np.eye(6, 16, dtype=np.float32))
    found = TextEncoder(opened.manifest, reader()._pieces, reader()._network, classes).encode(["c", ""])
    assert found.understood[0].startswith("c; ")
    assert (found.understood[1], list(found.errors)) == (None, [1])


def test_meanings_have_their_own_length_and_pieces_must_be_whole():
    assert reader().read(["hat"]).vectors.shape == (1, DIM)
    for data in (b"\xff", b"a\nb\n", vocabulary() + b"one\nmore"):
        with pytest.raises(LookalikeError, match="pieces of a text encoder"):
            word_piece(data)
