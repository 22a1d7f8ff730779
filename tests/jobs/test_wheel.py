"""The wheel holds all that a command needs: built, installed beside nothing of the clone, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import picture
from tests.support.places import ROOT

# Ten seconds alone.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("model", "pipelines", "config"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    shutil.rmtree(source)
    return folder / "venv" / "bin" / "python"


def lookalike(python: Path, folder: Path, *arguments: object) -> str:
    """What a command prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "lookalike", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_catalogue_is_served_from_the_wheel_alone(python, tmp_path, encoder):
    for number in range(12):
        path = tmp_path / "photos" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(number))
    assert "wrote" in lookalike(python, tmp_path, "init", "photos", "-o", "shop.yaml", "--encoder", encoder)
    assert "12 items" in lookalike(python, tmp_path, "nightly", "-c", "shop.yaml")
    answered = lookalike(python, tmp_path, "query", "-c", "shop.yaml", "photos", "-o", "answers")
    assert "12 read = 12 answered + 0 failed" in answered


def test_every_job_file_of_the_clone_is_in_it(python, tmp_path):
    code = "import lookalike.config.examples as e; print(e.example('demo.yaml').parent)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    folder = Path(done.stdout.decode().strip())
    assert folder.name == "job_files"
    ours = {path.name: path.read_bytes() for path in (ROOT / "config").glob("*.yaml")}
    assert {path.name: path.read_bytes() for path in folder.glob("*.yaml")} == ours
