"""`make setup` says what it downloads and what it is doing, and fails where pip does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.places import ROOT

PIP = """
Obtaining file:///tmp/x
  Installing build dependencies: started
Collecting tensorflow==2.17.1
  Downloading https://files.example/b-3/tensorflow-2.17.1-cp311-cp311-manylinux_2_17_x86_64.whl (601.3 MB)
  Using cached apache_beam-2.77.0-cp311.whl (17.6 MB)
  Downloading typer-0.29.2-py3-none-any.whl (9.3 MB)
  Downloading rich-15-py3-none-any.whl (320 kB)
Successfully built lookalike
Installing collected packages: a, b
Successfully installed a b
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    """A folder whose environment has a pip that only talks."""
    if not shutil.which("make"):
        pytest.skip("no make on this machine")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    return tmp_path


def setup(clone: Path, code: int) -> subprocess.CompletedProcess[str]:
    python = clone / ".venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\ncat <<'END'{PIP}END\nexit {code}\n")
    python.chmod(0o755)
    # Not as a part of the make that runs the tests.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "setup"], cwd=clone, env=env, capture_output=True, text=True, check=False)


def test_it_names_the_large_packages_and_what_comes_then(clone):
    done = setup(clone, 0)
    assert done.returncode == 0
    first, *rest = done.stdout.splitlines()
    assert "GB to download and" in first
    assert rest == [
        "  tensorflow, 601.3 MB",
        "  apache_beam, 17.6 MB",
        "  unpacking them, a minute or two",
        "  done",
    ]
    assert setup(clone, 0).stdout.strip() == "make: Nothing to be done for 'setup'."


def test_it_fails_where_pip_does_and_tries_again_the_next_time(clone):
    assert setup(clone, 1).returncode != 0
    assert not (clone / ".venv" / ".ready").exists()
