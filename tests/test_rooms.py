"""The house: which room may import which, and that every module has a test of its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

from tests.support.places import ROOT, module_name

ORDER = (
    *("__main__", "cli", "demo", "beam", "api", "pages", "explain"),
    *("evaluate", "nightly", "standing", "duplicates"),
    *("query", "export", "encoder", "train"),
    *("index", "embedding", "store", "config", "sources", "runner", "filesystem"),
    *(
        "model.training",
        "model.explaining",
        "model.text",
        "model.encoder",
        "model.networks",
        "model.images",
        "model.measuring",
    ),
    *("model.quiet", "model.imports", "model.digests", "model.settings", "model.cores"),
    *("model.waiting", "model.extras", "model.memory", "model.control_groups", "model.memory_limit"),
    *("model.printable", "model.errors"),
)
"""Rooms below `lookalike`, and modules that are in none. Each may import what stands behind it here."""

MODULES = {
    module_name(path): path for top in ("model", "pipelines") for path in sorted((ROOT / top).rglob("*.py"))
}
HALLS = ("lookalike", "lookalike.model")
"""The two folders of rooms. What `import lookalike` names is imported when it is asked for, and so in no circle."""
ROOMS = [name for name, path in MODULES.items() if path.name == "__init__.py"]

WITHOUT_A_TEST = {
    "lookalike.cli.duplicates": "run by the tests of tests/pipelines/duplicates/test_job.py",
    "lookalike.cli.explain": "run by the tests of tests/pipelines/explain/test_job.py",
    "lookalike.cli.init": "run by tests/pipelines/config/test_examples.py",
    "lookalike.cli.options": "read by every command; what --set does is in tests/pipelines/config/test_job_file.py",
    "lookalike.cli.steps": "its options are parsed in tests/pipelines/encoder/test_tune.py",
    "lookalike.cli.train": "run by the tests of tests/pipelines/train/test_job.py",
    "lookalike.model.errors": "its sentences are tested where they are raised",
}
"""Module -> why it has no test file of its name."""
OF_SEVERAL_MODULES = {
    "tests/model/images/test_cases.py": "pictures of many programs, through all decoders",
    "tests/model/images/test_windows.py": "a window goes through decode, dicom, formats and preprocess",
    "tests/model/images/test_tiff_options.py": "what TIFF's writers write, through decode",
    "tests/model/networks/test_networks.py": "the contract of every network, and `networks.backbone`",
    "tests/pipelines/index/test_steps_and_conditions.py": "expansion, re-ranking, conditions, several pictures in one",
    "tests/pipelines/sources/test_readers.py": "the contract of every format's reader",
}
"""Test file -> what it tests, where that is no module of its name. Tests of whole jobs are in tests/jobs."""


def room_of(module: str) -> str:
    """Its place in `ORDER`."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[0] == "model" else 1])


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(module: str, text: str, is_package: bool, known: set[str]) -> Iterator[str]:
    """The modules among `known` that a module's source imports, wherever it does."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{source}.{alias.name}"
                yield from (n for n in (name if name in known else source,) if n in known)


IMPORTS = {
    name: set(imports(name, path.read_text("utf-8"), path.name == "__init__.py", set(MODULES)))
    - {name, *HALLS}
    for name, path in MODULES.items()
}


def back_up(graph: dict[str, set[str]]) -> list[str]:
    """A sentence for each import of a room that stands above."""
    return [
        f"{place(MODULES[one])} imports {place(MODULES[other])}, which stands above it: see ORDER"
        for one, others in graph.items()
        for other in sorted(others)
        if one not in HALLS and other not in HALLS and ORDER.index(room_of(other)) < ORDER.index(room_of(one))
    ]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules each of which imports the next and the last the first; empty if there are none."""
    done: set[str] = set()

    def follow(way: list[str]) -> list[str]:
        for other in sorted(graph[way[-1]] - done):
            if other in way:
                return way[way.index(other) :]
            if found := follow([*way, other]):
                return found
        done.add(way[-1])
        return []

    return next((found for name in graph if name not in done and (found := follow([name]))), [])


def test_every_module_is_in_a_room() -> None:
    lost = [place(MODULES[m]) for m in MODULES if m not in HALLS and room_of(m) not in ORDER]
    assert not lost, f"these are in no room of ORDER: {lost}"
    assert set(ORDER) == {room_of(m) for m in MODULES if m not in HALLS}


def test_no_import_runs_back_up() -> None:
    assert not (wrong := back_up(IMPORTS)), "\n".join(wrong)


def test_no_imports_run_in_a_circle() -> None:
    found = circle(IMPORTS)
    assert not found, "imports run in a circle: " + " -> ".join(place(MODULES[m]) for m in [*found, found[0]])


def test_the_tests_above_can_fail() -> None:
    wrong = IMPORTS | {"lookalike.filesystem.files": {"lookalike.query.job"}}
    assert back_up(wrong) == [
        "pipelines/filesystem/files.py imports pipelines/query/job.py, which stands above it: see ORDER"
    ]
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()})) == {"b", "c"}
    source = "def f():\n    from ..store import lock\n    from .tuning import tune"
    known = {"lookalike.store.lock", "lookalike.index.tuning"}
    assert set(imports("lookalike.index.job", source, False, known)) == known


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[room].read_text("utf-8")))
    assert text, f"{place(MODULES[room])} has no docstring"
    assert room in HALLS or "May import" in " ".join(text.split()), (
        f"{place(MODULES[room])} does not say what the room may import"
    )


def test_the_page_shows_the_rooms_in_this_order() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    shown = re.findall(r"^\| `(?:pipelines/|(model)/)(\w+)` \|", page, flags=re.MULTILINE)
    rooms = [room for room in ORDER if f"lookalike.{room}" in ROOMS]
    assert [".".join(filter(None, parts)) for parts in shown] == rooms


def test_every_room_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["packages"] == sorted([*ROOMS, "lookalike.job_files"])


def test_every_module_has_a_test_file_of_its_name() -> None:
    without = {
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py"
        and not (ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}").exists()
    }
    assert without == set(WITHOUT_A_TEST)


def test_every_test_file_has_the_name_of_a_module() -> None:
    tests = [path for top in ("model", "pipelines") for path in (ROOT / "tests" / top).rglob("test_*.py")]
    modules = {f"tests/{path.relative_to(ROOT).parent}/test_{path.name}" for path in MODULES.values()}
    assert {place(path) for path in tests} - modules == set(OF_SEVERAL_MODULES)
