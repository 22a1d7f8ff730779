"""Runs a command line and tells of large libraries that were imported while another thread could do so too.

    python tests/support/import_watch.py query -c job.yaml photos/ -o answers/

An import is in order if the process has no other thread, or if it holds `model.imports.one_at_a_time`. Whether two
threads did meet does not matter: that differs from run to run. Exits with 1 and a line for each that was not in
order, else as the command does.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from lookalike.model.imports import one_at_a_time

LARGE = {
    "tensorflow",
    "keras",
    "scann",
    "apache_beam",
    "pydicom",
    "sklearn",
    "scipy",
    "tifffile",
    "imagecodecs",
    "duckdb",
    "openvino",
    "nncf",
}
_found: list[str] = []
_inside = threading.local()


def _watched(name: str, do: Callable[[], Any]) -> Any:
    if name.partition(".")[0] not in LARGE or _is_loaded(name) or getattr(_inside, "depth", 0):
        return do()
    alone = threading.active_count() == 1 or one_at_a_time._is_owned()  # type: ignore[attr-defined]
    if not alone:
        where = [
            f"{f.filename}:{f.lineno}" for f in traceback.extract_stack() if "importlib" not in f.filename
        ]
        _found.append(f"{threading.current_thread().name} imports {name} at {' < '.join(where[-3:-9:-1])}")
    _inside.depth = 1
    try:
        return do()
    finally:
        _inside.depth = 0


def _is_loaded(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def watch() -> None:
    """From now on every import in this process is looked at."""
    by_statement, by_name = builtins.__import__, importlib.import_module

    def statement(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if level:
            return by_statement(name, globals, locals, fromlist, level)
        return _watched(name, lambda: by_statement(name, globals, locals, fromlist, level))

    def module(name: str, package: str | None = None) -> Any:
        return _watched(name, lambda: by_name(name, package))

    builtins.__import__, importlib.import_module = statement, module


def main() -> int:
    watch()
    from lookalike.cli.main import main as run

    code: Any = 0
    try:
        run(sys.argv[1:])
    except SystemExit as stop:
        code = stop.code
    for line in _found:
        print(f"import_watch: {line}", file=sys.stderr)
    return 1 if _found else int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
