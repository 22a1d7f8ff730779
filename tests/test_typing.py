"""A program that is written against the public names passes the strictest checks of types, and a wrong one does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import tomllib

from tests.support.places import ROOT

PROGRAM = """
from pathlib import Path

import lookalike
import numpy as np
from typing_extensions import assert_type

encoder = lookalike.open_encoder(Path("encoder"), variant="int8")
vectors = encoder.encode(["a.jpg", b"", Path("b.jpg"), np.zeros((3, 4, 3), np.uint8)])
assert_type(encoder.encode(b"", errors="collect"), lookalike.Encoded)
with lookalike.open_store("store") as store:
    store.search("a.jpg", k=3, where="price < 50")
    assert_type(store.search(vectors=vectors, errors="collect"), lookalike.Answers)
    name: str = store.manifest.name
job = lookalike.open_job({"store": "store"}, set={"query.k": 5})
assert_type(job, lookalike.Job)
rows: int = job.query("photos", "out", format="csv").matches
items: int = job.nightly().indexed.generation.counts["items"]
written: int = lookalike.pack("photos", Path("shards")).images
dimensions: int = lookalike.build_encoder("encoder", "shards", variant="float").dim
version: str = lookalike.__version__
"""
WRONG = """
store.search("a.jpg", kk=3)
encoder.encode(3)
job.query("photos", "out", format="xml")
"""


@pytest.mark.slow
def test_types_are_told_to_programs(tmp_path):
    package = tmp_path / "installed" / "lookalike"
    package.mkdir(parents=True)
    for path in [*(ROOT / "pipelines").iterdir(), ROOT / "model"]:
        (package / path.name).symlink_to(path)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(PROGRAM + WRONG)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "program.py", "wrong.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},  # as mypy finds what is installed
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert not [line for line in errors if not line.startswith("wrong.py")], done.stdout
    for word in ('"kk"', '"int"', "Literal['xml']"):
        assert any(word in line for line in errors), done.stdout


def test_the_mark_that_types_may_be_believed_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["lookalike"] == ["py.typed"]
    assert (ROOT / "pipelines" / "py.typed").exists()
