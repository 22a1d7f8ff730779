"""The examples of the public names are true, and none of these names is without one."""

from __future__ import annotations

import doctest
import inspect

import pytest

import lookalike
from tests.support.programs import make_world

PLAIN = {"Answers", "Encoded", "GateError", "LookalikeError", "Encoder", "Job", "Store", "__version__"}
"""Shown where they are made or raised."""
METHODS = {
    f"{kind}.{name}": getattr(getattr(lookalike, kind), name)
    for kind in ("Encoder", "Job", "Store")
    for name, method in vars(getattr(lookalike, kind)).items()
    if not name.startswith("_") and inspect.isfunction(method)
}
PUBLIC = {name: getattr(lookalike, name) for name in lookalike.__all__ if name not in PLAIN} | METHODS
INNER = {"Encoder.batches", "Job.open_store", "Store.close"}
"""What `encode` and `open_store` show."""


@pytest.fixture(scope="module")
def world(tmp_path_factory, published, pictures):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, published, pictures)
    return folder


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_examples_of_a_public_name_are_true(name, world, monkeypatch):
    monkeypatch.chdir(world)
    (example,) = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={})
    assert example.examples or name in INNER, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(example).failed == 0
