"""Calibrations lie beside the encoder and beside its copy in the store; the one that holds is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.calibration import calibration_json
from lookalike.model.encoder.manifest import CALIBRATION
from lookalike.model.encoder.post_processing import PostProcessing, QueryExpansion
from lookalike.model.errors import LookalikeError
from lookalike.store.calibrations import calibration_of, keep_calibration
from lookalike.store.encoders import encoder_path, keep_encoder
from lookalike.store.generation import read_current
from tests.support.calibrations import calibration
from tests.support.small_stores import Bucket

NONE = PostProcessing()


@pytest.fixture
def there(tuned):
    """(store, encoder, generation) that a test may change."""
    store = str(tuned.store)
    return store, tuned.settings["encoder"], read_current(store)


def test_it_is_kept_in_both_places_and_found_in_either(there):
    store, bundle, generation = there
    assert calibration_of(*there, NONE) == (None, None)
    made = calibration(generation.encoder)
    beside, copy = keep_calibration(store, bundle, made)
    assert (beside, copy) == (
        f"{bundle}/{CALIBRATION}",
        f"{store}/{encoder_path(generation.encoder)}/{CALIBRATION}",
    )
    assert calibration_of(*there, NONE) == (made, None)
    assert calibration_of(store, f"{bundle}-not-there", generation, NONE) == (made, None)
    Path(copy).unlink()
    assert calibration_of(*there, NONE) == (made, None)
    assert Encoder.load(bundle).fingerprint == generation.encoder


def test_one_that_does_not_hold_is_told_and_the_other_is_looked_at(there):
    store, bundle, generation = there
    made = calibration(generation.encoder)
    keep_calibration(store, bundle, made)
    other = calibration(generation.encoder, steps=PostProcessing(query_expansion=QueryExpansion(k=3)))
    Path(bundle, CALIBRATION).write_bytes(calibration_json(other))
    assert calibration_of(*there, NONE) == (made, None)
    assert calibration_of(*there, other.steps) == (other, None)
    Path(store, encoder_path(generation.encoder), CALIBRATION).unlink()
    found, refused = calibration_of(*there, NONE)
    assert found is None
    assert refused == (
        f"{bundle}/{CALIBRATION} does not hold here: it was made with the steps query expansion 3,3, in use are none"
    )


def test_a_damaged_one_is_named(there):
    Path(there[1], CALIBRATION).write_bytes(b"{}")
    with pytest.raises(LookalikeError, match=f"damaged: .*{CALIBRATION}"):
        calibration_of(*there, NONE)


def test_another_encoder_at_the_place_of_the_one_that_was_measured_gets_none(there, other_encoder, tmp_path):
    store, _, generation = there
    shutil.copytree(other_encoder, tmp_path / "other")
    assert len(keep_calibration(store, str(tmp_path / "other"), calibration(generation.encoder))) == 1
    assert not (tmp_path / "other" / CALIBRATION).exists()
    assert len(keep_calibration(store, str(tmp_path / "nowhere"), calibration(generation.encoder))) == 1


@pytest.mark.parametrize("remote", [False, True])
def test_an_encoder_takes_its_calibration_into_a_store_that_has_none(there, remote, monkeypatch, tmp_path):
    _, bundle, generation = there
    store = str(tmp_path / "fresh")
    if remote:
        Bucket(monkeypatch)
        store = "mem://b/store"
    keep_encoder(store, bundle)
    assert calibration_of(store, "nowhere", generation, NONE) == (None, None)
    first, second = (calibration(generation.encoder, k=k) for k in (1, 2))
    Path(bundle, CALIBRATION).write_bytes(calibration_json(first))
    keep_encoder(store, bundle)
    assert calibration_of(store, "nowhere", generation, NONE) == (first, None)
    Path(bundle, CALIBRATION).write_bytes(calibration_json(second))
    keep_encoder(store, bundle)
    assert calibration_of(store, "nowhere", generation, NONE) == (first, None)
