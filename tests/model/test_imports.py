"""Large libraries are imported one at a time, and a failed import is told as what it is."""

from __future__ import annotations

import ast
import sys

import pytest

from lookalike.model import imports
from lookalike.model.errors import LookalikeError
from lookalike.model.images.decode import decode
from tests.support.import_watch import LARGE
from tests.support.places import ROOT

SOURCES = [path for folder in ("model", "pipelines") for path in sorted((ROOT / folder).rglob("*.py"))]


def unguarded(tree: ast.Module) -> list[int]:
    """Lines that import a large library within a function, outside of `importing` and `one_at_a_time`."""
    lines: list[int] = []

    def look(node: ast.AST, in_function: bool, guarded: bool) -> None:
        if isinstance(node, ast.With):
            guarded = guarded or any(
                word in ast.unparse(item.context_expr)
                for item in node.items
                for word in ("importing(", "one_at_a_time")
            )
        if isinstance(node, (ast.Import, ast.ImportFrom)) and in_function and not guarded:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            lines.extend(node.lineno for name in names if name.partition(".")[0] in LARGE)
        in_function = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in ast.iter_child_nodes(node):
            look(child, in_function, guarded)

    look(tree, False, False)
    return lines


def test_no_function_imports_a_large_library_by_itself() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in unguarded(ast.parse(path.read_text()))
    ]
    assert not found, f"these may meet another thread's import; use model.imports: {', '.join(found)}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import keras", []),
        ("def f():\n    import keras", [2]),
        ("def f():\n    from tensorflow.lite import x", [2]),
        ("def f():\n    with importing('Keras'):\n        import keras", []),
        ("class A:\n    def f(self):\n        def g():\n            import numpy, scann", [4]),
    ],
)
def test_the_rule_sees_what_it_is_for(source: str, expected: list[int]) -> None:
    assert unguarded(ast.parse(source)) == expected


@pytest.mark.parametrize(
    "error", [ImportError("no such thing"), RuntimeError("deadlock detected"), OSError("lib.so")]
)
def test_a_failed_import_is_a_sentence_that_names_the_library(error: Exception) -> None:
    with pytest.raises(LookalikeError, match=f"^Foo is installed wrongly.*{error}"), imports.importing("Foo"):
        raise error


def test_an_image_is_not_called_corrupt_when_its_library_is_missing(monkeypatch) -> None:
    imports.pydicom.cache_clear()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    try:
        with pytest.raises(LookalikeError, match="cannot be imported"):
            decode(b"\0" * 128 + b"DICM" + b"\0" * 64)
    finally:
        imports.pydicom.cache_clear()
