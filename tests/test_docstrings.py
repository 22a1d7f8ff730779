"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = [
    path.relative_to(ROOT).with_suffix("")
    for folder in ("model", "pipelines")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_the_examples_in_the_docstrings_are_true(path):
    failed, tried = doctest.testmod(importlib.import_module(".".join(path.parts)))
    assert failed == 0
    assert tried > 0
