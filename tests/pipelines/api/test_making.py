"""Keywords of a program to what the jobs are made of; what they make is seen by tests/test_api_examples.py."""

from __future__ import annotations

from pathlib import Path

import pytest

import lookalike
from lookalike.encoder import build
from lookalike.model.errors import LookalikeError


@pytest.fixture
def built(monkeypatch):
    """What `build_encoder` was called with."""
    calls = []
    monkeypatch.setattr(build, "build_encoder", lambda *given: calls.append(given))
    return calls


def test_keywords_become_a_recipe(built, published):
    lookalike.build_encoder(
        Path("out"),
        ["a", Path("b")],
        network="x/run.keras",
        dimensions=0,
        flip=True,
        scales=[1, 2],
        variant="float",
        unit_length=False,
        images=7,
        job=published.config,
    )
    ((out, choice, sample, recipe),) = built
    assert (out, sample.paths, sample.images) == ("out", ["a", "b"], 7)
    assert dict(sample.options.metadata) == published.settings["corpus"]["metadata"]
    assert (choice.name, recipe.name, recipe.dim, recipe.variant) == ("x/run.keras", "run", None, "float")
    assert (recipe.test_time_augmentation.flip, recipe.test_time_augmentation.scales) == (True, (1, 2))
    assert not recipe.unit_length


def test_without_keywords_it_is_what_the_command_makes(built):
    lookalike.build_encoder("out", "photos")
    ((_, choice, sample, recipe),) = built
    assert (choice, sample) == (build.NetworkChoice(), build.Sample(["photos"]))
    assert (recipe.name, recipe.dim, recipe.variant) == ("efficientnet_lite0", 256, build.default_variant())


def test_a_wrong_training_is_named():
    with pytest.raises(LookalikeError, match=r"^the job: .*unknown key `epoch`; did you mean `epochs`"):
        lookalike.train_network({"run": "run", "epoch": 1})
