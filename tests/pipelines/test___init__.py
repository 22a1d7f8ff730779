"""The names of `import lookalike`: what they are, and that they cost nothing before they are used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

import lookalike
from tests.support.places import ROOT

CODE = """
import json, sys, time
started = time.perf_counter()
import lookalike
seconds = time.perf_counter() - started
print(json.dumps([seconds, sorted(sys.modules)]))
"""


def test_the_import_loads_nothing_but_python():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    _, modules = json.loads(done.stdout)
    outside = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert {name for name in outside if not name.startswith("_")} <= {"lookalike", "site", "sitecustomize"}
    assert [name for name in modules if name.startswith("lookalike")] == ["lookalike"]


def test_every_name_is_there_for_programs_and_for_type_checkers():
    tree = ast.parse((ROOT / "pipelines" / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    shown = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*shown, "__version__"} == set(lookalike.__all__) == {*lookalike._MODULES, "__version__"}
    assert set(lookalike.__all__) <= set(dir(lookalike))
    for name in lookalike.__all__:
        assert getattr(lookalike, name)


def test_no_public_name_is_that_of_a_room():
    """A room becomes an attribute of the package when it is imported, and would take a function's place."""
    rooms = {path.stem for path in (ROOT / "pipelines").iterdir()}
    assert not rooms & {name for name, module in lookalike._MODULES.items() if module != f".{name}"}


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lookalike.nothing  # noqa: B018
