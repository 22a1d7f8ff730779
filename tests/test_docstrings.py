"""The examples in docstrings are true."""

import doctest
import importlib

import pytest

from tests.support.places import ROOT, module_name

WITH_EXAMPLES = [
    module_name(path)
    for folder in ("model", "pipelines")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.parent.name != "api"  # see test_api_examples
    and ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_are_true(module):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert failed == 0
    assert tried > 0
