from __future__ import annotations

import numpy as np
import pytest

from lookalike.duplicates.threshold import MadeCopies, chosen, recalls


def made(low: float = 0.95, count: int = 500) -> MadeCopies:
    """Copies of two kinds: one is nearly perfect, of the other the correlations are from `low` on."""
    spread = np.linspace(low, 0.999, count).astype(np.float32)
    near = {"recompressed": np.full(count, 0.97, np.float32), "cropped": np.linspace(0.8, 0.97, count)}
    return MadeCopies(near, {"recompressed": np.full(count, 0.9995, np.float32), "cropped": spread})


def falling(count: int, rate: float, seed: int = 0) -> np.ndarray:
    """Correlations of false pairs: -log(1 - c) is exponential."""
    return 1 - np.exp(-np.random.default_rng(seed).exponential(1 / rate, count))


def true(share: float, low: float, seed: int = 1) -> np.ndarray:
    """Correlations of true pairs, half of either kind."""
    rng = np.random.default_rng(seed)
    count = round(share)
    return np.where(rng.random(count) < 0.5, 0.9995, rng.uniform(low, 0.999, count))


def test_what_is_looked_at_holds_nearly_all_copies() -> None:
    wanted = made().wanted
    assert wanted.least == pytest.approx(0.8003, abs=1e-3)
    assert wanted.copies == pytest.approx(0.885, abs=1e-3)


def test_where_false_pairs_are_far_below_nearly_all_copies_are_found() -> None:
    found = chosen(
        made(), np.concatenate([np.random.default_rng(0).uniform(-1, 0.8, 4000), true(300, 0.95)]), 0.95
    )
    assert found.correlation == pytest.approx(0.9505, abs=1e-3)
    assert found.recall["cropped"] > 0.97
    assert found.precision > 0.99


@pytest.mark.parametrize("rate", [1.2, 1.6])
def test_the_precision_is_what_was_wished(rate) -> None:
    false = falling(6000, rate)
    right = true(400, 0.95)
    found = chosen(made(), np.concatenate([false, right]), 0.9)
    taken = [(some >= found.correlation).sum() for some in (false, right)]
    assert taken[1] / sum(taken) == pytest.approx(found.precision, abs=0.06)
    assert found.correlation > 0.9505  # some of them rise above it


def test_of_a_catalogue_without_copies_no_precision_is_told_and_no_pair_is_taken_for_one() -> None:
    for false in (np.random.default_rng(0).uniform(-1, 0.9, 3000), falling(3000, 1.2)):
        found = chosen(made(), false, 0.95)
        assert found.precision is None
        assert not (false >= found.correlation).any()


def test_a_few_copies_are_found_though_none_is_among_the_better_half() -> None:
    false = np.random.default_rng(0).uniform(-1, 0.8, 3000)
    found = chosen(made(), np.append(false, [0.98, 0.99]), 0.95)
    assert found.precision is None
    assert found.correlation < 0.98
    assert found.recall["cropped"] > 0.5


def test_nothing_found_is_no_error() -> None:
    assert chosen(made(), np.empty(0, np.float32), 0.95).precision is None


def test_no_threshold_is_where_different_pictures_of_one_kind_are() -> None:
    assert chosen(made(low=0.3), np.empty(0), 0.95).correlation >= 0.85


def test_copies_that_are_not_looked_at_are_not_found() -> None:
    found = recalls(made(), 0.9, beyond=0.9)
    assert found["recompressed"] == 1
    assert found["cropped"] == pytest.approx(0.07 / 0.17, abs=5e-3)
    assert recalls(made(), 0.9)["cropped"] > found["cropped"]
