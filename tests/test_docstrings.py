"""The examples in docstrings are true."""

import doctest
import importlib

import pytest

from tests.support.places import ROOT, module_name

WITH_EXAMPLES = [
    module_name(path)
    for folder in ("model", "pipelines")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in (text := path.read_text(encoding="utf-8")) and ">>> import lookalike" not in text
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_are_true(module):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert failed == 0
    assert tried > 0
