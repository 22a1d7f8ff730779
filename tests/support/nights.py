"""What children of `forks` do with a store: run a command that may be killed, and tell all that can be compared.

Importing this imports everything that a run needs, so that a fork imports nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import pkgutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lookalike
from lookalike.index import native, tuning
from lookalike.model.errors import LookalikeError
from lookalike.store.generations import names, served_name
from lookalike.store.note_table import read_note_table
from lookalike.store.verify import verify
from tests.conftest import run
from tests.support.fault_points import FaultPoints, PowerCut, die, watched

for _name in (
    "tensorflow",
    "apache_beam.runners.portability.fn_api_runner.fn_runner",
    *(module.name for module in pkgutil.walk_packages(lookalike.__path__, "lookalike.")),
):
    importlib.import_module(_name)

for _part in (native._NATIVE, native._BUILDER, native._ASSETS_PROTO):
    native._scann(_part)

# Small corpora shall have ScaNN's own files too: from 17 vectors, a tree.
tuning._BRUTE_FORCE_BELOW = tuning._TREE_FROM = 17  # type: ignore[misc]
FORMS = ("parquet", "csv", "jsonl")


def command(
    store: str, arguments: list[str], at: int | None = None, power_cut: str | None = None
) -> dict[str, Any]:
    """Runs a command line, which dies before operation `at` on the store.

    Args:
        store: folder of the store.
        arguments: of the command line.
        at: number of the operation, from 1; None for a run to its end.
        power_cut: when it dies, `all` or `some` of what was not flushed to the disk is lost; see `PowerCut`.

    Returns:
        For a run that came to its end: exit code, what it wrote, and its operations.
    """
    points = (
        PowerCut(store, at, at if power_cut == "some" else None) if power_cut else FaultPoints(store, at, die)
    )
    with watched(points):
        done = run(*arguments)
    return {"code": done.code, "out": done.out, "err": done.err, "operations": points.seen}


def served(
    store: str, config: str, queries: list[str], out: str, forms: Sequence[str] = FORMS
) -> dict[str, Any]:
    """What a store serves.

    Returns:
        current: name of the generation, or None.
        problems: what `generations verify` found.
        tables: name of each table that answers `queries` -> digest of its content.
    """
    problems = verify(store)
    current = served_name(store)
    answer = _tables if current else _nothing
    return {
        "current": current,
        "problems": problems,
        "tables": answer(store, config, queries, Path(out), forms),
    }


def look(store: str, **looking: Any) -> dict[str, Any]:
    """Everything of a store that two runs may be compared by: what it serves, and

    Returns:
        files: path of each file and folder -> digest of its content. What tells times is left out, and the
            generation that is served is called CURRENT.
        generations: how many there are.
    """
    found = served(store, **looking)
    of_files = dict(_files(Path(store), found["current"]))
    return found | {"files": of_files, "generations": len(names(store))}


def resume(store: str, arguments: list[str], looking: dict[str, Any]) -> dict[str, Any]:
    """Looks at what a dead run serves, runs the command to its end, and looks at everything."""
    left = served(store, **looking, forms=FORMS[:1])
    return {"left": left, "done": command(store, arguments), "after": look(store, **looking)}


def _nothing(store: str, config: str, queries: list[str], out: Path, forms: Sequence[str]) -> dict[str, str]:
    done = run("query", queries[0], "-c", config, "--set", f"store={store}", "-o", out)
    assert done.code == 2, done
    assert "Nothing has been published" in done.sentence
    return {}


def _tables(store: str, config: str, queries: list[str], out: Path, forms: Sequence[str]) -> dict[str, str]:
    found = {}
    for path in queries:
        for form in forms:
            options = ("--set", f"store={store}", "-o", out, "-k", 100, "--format", form)
            done = run("query", path, "-c", config, *options)
            assert done.code == 0, done
            for name in (f"results.{form}", f"failures.{form}"):
                found[f"{Path(path).name} {name}"] = _digest_of_table((out / name).read_bytes())
    return found


def _digest_of_table(data: bytes) -> str:
    if data[:4] == b"PAR1":
        # The footer names the generation, and so tells the time.
        data = data[: -8 - int.from_bytes(data[-8:-4], "little")]
    return hashlib.sha256(data).hexdigest()


def _files(store: Path, current: str | None) -> Any:
    for folder, folders, files in os.walk(store):
        for name in folders:
            path = Path(folder, name)
            if not os.listdir(path) and (key := f"{path.relative_to(store)}/") not in _NOT_COMPARED:
                yield key, "empty"
        for name in files:
            path = Path(folder, name)
            key = str(path.relative_to(store))
            if key.startswith(("reports/", "notes/")) or key in _NOT_COMPARED:
                continue
            if current:
                key = key.replace(f"generations/{current}/", "generations/CURRENT/")
            yield key, _digest_of_file(path)


_NOT_COMPARED = ("CURRENT", "LOCK", "excluded.lock", "excluded.parquet", "runs/")
"""CURRENT is told otherwise; the list of exclusions holds times, what it does is in the tables. Neither is `notes/`,
which tells what lies elsewhere, with times."""
_OF_THE_RUN = {"name", "created", "seconds", "embedded", "reused"}
"""Times, and what a run embedded itself: one that goes on finds what the dead one had finished."""


def _digest_of_file(path: Path) -> str:
    """Of the content; without times, if it is JSON that tells them."""
    data = path.read_bytes()
    if path.name == "manifest.sha256":
        return "of its manifest"
    if path.name == "shards.parquet":
        with contextlib.suppress(LookalikeError):  # half a file is another one
            notes, _ = read_note_table(io.BytesIO(data), str(path))
            data = json.dumps([_timeless(asdict(note)) for note in notes]).encode()
    if path.suffix == ".json":
        with contextlib.suppress(ValueError):
            told = json.loads(data)
            if isinstance(told, dict) and isinstance(told.get("shards"), dict):
                del told["shards"]["sha256"]  # of a table that tells times
            data = json.dumps(_timeless(told)).encode()
    return hashlib.sha256(data).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(held) for key, held in value.items() if key not in _OF_THE_RUN}
    return [_timeless(held) for held in value] if isinstance(value, list) else value
