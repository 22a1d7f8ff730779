"""`calibration.json`: read as it was written, refused where it is damaged or does not belong."""

import json

import numpy as np
import pytest

from lookalike.model.digests import sha256_json
from lookalike.model.encoder.calibration import (
    MOST_BYTES,
    Calibration,
    calibration_json,
    read_calibration,
)
from lookalike.model.encoder.post_processing import PostProcessing, QueryExpansion
from lookalike.model.errors import LookalikeError
from lookalike.model.measuring.calibration import Isotonic, Logistic
from tests.support.calibrations import calibration

STEPS = PostProcessing(query_expansion=QueryExpansion(k=3))


def made(fitted=None, **others) -> Calibration:
    fitted = fitted or Isotonic(near=(0.25, 0.75), probability=(0.1, 0.9))
    return calibration("a" * 64, fitted=fitted, **others)


@pytest.mark.parametrize("fitted", [None, Logistic(slope=2.5, intercept=-1 / 3)])
def test_it_is_read_as_it_was_written(fitted):
    written = made(fitted, steps=STEPS)
    found = read_calibration(calibration_json(written), "x")
    assert found == written
    near = np.array([[-1, 0.5], [0.3, 1]], np.float32)
    assert found.apply(near).dtype == np.float32
    np.testing.assert_array_equal(found.apply(near), written.apply(near))


def test_what_it_does_not_belong_to_is_named():
    there = made(steps=STEPS)
    assert there.why_not("a" * 64, "cosine", STEPS) is None
    assert "of the encoder aaaaaaaaaaaaaaaa, the index of bbbbbbbbbbbbbbbb" in str(
        there.why_not("b" * 64, "cosine", STEPS)
    )
    assert "metric cosine, the index of euclidean" in str(there.why_not("a" * 64, "euclidean", STEPS))
    assert "the steps query expansion 3,3, in use are none" in str(
        there.why_not("a" * 64, "cosine", PostProcessing())
    )


def changed(**values) -> bytes:
    data = json.loads(calibration_json(made()))
    del data["digest"]
    data |= values
    return json.dumps(data | {"digest": sha256_json(data)}).encode()


def test_a_digit_that_changed_is_damage():
    with pytest.raises(LookalikeError, match="damaged: here should have digest"):
        read_calibration(calibration_json(made()).replace(b"0.75", b"0.76"), "here")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{", b"null", b"[" * 9999, b"1" * (MOST_BYTES + 1)])
def test_what_is_no_calibration_is_one_sentence(data):
    with pytest.raises(LookalikeError, match="here"):
        read_calibration(data, "here")


@pytest.mark.parametrize(
    "values",
    [
        {"format": 2},
        {"k": 0},
        {"other": 1},
        {"fitted": {"method": "isotonic", "near": [], "probability": []}},
        {"fitted": {"method": "isotonic", "near": [0, 1], "probability": [0.5]}},
        {"fitted": {"method": "isotonic", "near": [1.0, 0.0], "probability": [0.1, 0.9]}},
        {"fitted": {"method": "isotonic", "near": [0.0, 1.0], "probability": [0.9, 0.1]}},
        {"fitted": {"method": "isotonic", "near": [0.0, 1.0], "probability": [0.1, 1.5]}},
        {"fitted": {"method": "logistic", "slope": -1.0, "intercept": 0.0}},
        {"fitted": {"method": "other"}},
    ],
)
def test_values_that_are_none_are_refused_although_the_digest_is_right(values):
    with pytest.raises(LookalikeError, match="Expected other values in here"):
        read_calibration(changed(**values), "here")
