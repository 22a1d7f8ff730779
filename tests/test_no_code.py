"""Nothing that is read is run: no pickle, no YAML of objects, no evaluation, anywhere in the two trees."""

from __future__ import annotations

import ast

from tests.support.places import ROOT

REFUSED = {
    "eval",
    "exec",
    "compile",
    "load_library",
    "pickle.load",
    "pickle.loads",
    "yaml.load",
    "yaml.unsafe_load",
}
RESTRICTED = "model/networks/torch_file.py"
"""Its unpickler knows four names, and its file has a digest that is known."""


def _called(node: ast.Call) -> str:
    """The name that is called, with the module's if there is one: `np.load`."""
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        return f"{owner}.{node.func.attr}" if owner in ("np", "numpy", "pickle", "yaml") else node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def test_nothing_that_is_read_is_run():
    for tree in ("model", "pipelines"):
        for path in sorted((ROOT / tree).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import) and str(path.relative_to(ROOT)) != RESTRICTED:
                    assert not {"pickle", "marshal", "shelve", "dill"} & {name.name for name in node.names}, (
                        path
                    )
                if not isinstance(node, ast.Call):
                    continue
                called = _called(node)
                # `re.compile` has an owner, the built-in has none.
                if not (called == "compile" and isinstance(node.func, ast.Attribute)):
                    assert called not in REFUSED, f"{path}:{node.lineno}"
                options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                if called in ("np.load", "numpy.load"):
                    assert options.get("allow_pickle") == "False", f"{path}:{node.lineno}"
                if called == "load_model":
                    assert options.get("safe_mode") == "True", f"{path}:{node.lineno}"
