"""The examples of the public names are true, and none of these names is without one."""

from __future__ import annotations

import doctest
import inspect

import pytest

import lookalike.beam
from tests.support.programs import make_world

PLAIN = {"Answers", "Encoded", "GateError", "LookalikeError", "Encoder", "Job", "Store", "__version__"}
"""Shown where they are made or raised."""
SLOW = {"build_encoder", "train_network"}
METHODS = {
    f"{kind}.{name}": getattr(getattr(lookalike, kind), name)
    for kind in ("Encoder", "Job", "Store")
    for name, method in vars(getattr(lookalike, kind)).items()
    if not name.startswith("_") and inspect.isfunction(method)
}
TRANSFORMS = {f"beam.{name}": getattr(lookalike.beam, name) for name in ("Embed", "ReadImages", "Search")}
PUBLIC = (
    {name: getattr(lookalike, name) for name in lookalike.__all__ if name not in PLAIN} | METHODS | TRANSFORMS
)
INNER = {"Encoder.batches", "Job.open_store", "Store.close"}
"""What `encode` and `open_store` show."""


@pytest.fixture(scope="module")
def world(tmp_path_factory, published, pictures):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, published, pictures)
    return folder


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(PUBLIC)],
)
def test_the_examples_of_a_public_name_are_true(name, world, monkeypatch):
    monkeypatch.chdir(world)
    if name == "train_network":
        import tensorflow as tf  # not for the whole process

        monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    (example,) = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={})
    assert example.examples or name in INNER, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(example).failed == 0
