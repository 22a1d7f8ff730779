"""What a process of each kind of job has loaded when it ends: no large library that it has no use for."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HEAVY = {"tensorflow", "keras", "apache_beam", "sklearn", "scipy", "matplotlib", "pandas", "duckdb"}
OF_RARE_IMAGES = {"pydicom", "tifffile"}
OF_IMAGES = {"imagecodecs", "cv2", "PIL", "simplejpeg", "pillow_heif"}
CODE = """
import json, sys
from lookalike.__main__ import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def loaded(*arguments: object) -> set[str]:
    """The packages that a command loaded."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    packages: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(packages)


def test_help():
    assert not loaded("--help") & (HEAVY | OF_RARE_IMAGES | OF_IMAGES | {"yaml", "google"})


@pytest.mark.parametrize("kind", ["ids", "vectors", "images"])
def test_queries(published, tmp_path, kind):
    table = published.embeddings
    queries = tmp_path / "queries"
    if kind == "ids":
        queries = tmp_path / "queries.txt"
        queries.write_text("\n".join(table["item_id"].to_pylist()))
    elif kind == "vectors":
        queries = tmp_path / "queries.parquet"
        pq.write_table(pa.table({"embedding": table["embedding"]}), queries)
    else:
        queries = published.folder / "images"
    found = loaded("query", queries, "-c", published.config, "-o", tmp_path / "out")
    unwanted = HEAVY | OF_RARE_IMAGES | (set() if kind == "images" else OF_IMAGES)
    assert found & unwanted == set()
