"""What an extra holds can be installed by the command that is told."""

from __future__ import annotations

import importlib.metadata

import pytest
import tomllib

from lookalike.model import extras
from lookalike.model.extras import install
from tests.support.places import ROOT


@pytest.mark.parametrize("extra", ["s3", "dask", "openvino", "demo"])
def test_the_packages_of_an_extra_are_named(extra, monkeypatch):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines = [f'{package}; extra == "{name}"' for name, packages in declared.items() for package in packages]
    monkeypatch.setattr(extras, "requires", lambda _: [*lines, "numpy<2"])
    command = install(extra)
    assert command.startswith("pip install ")
    for package in declared[extra]:
        assert package in command
    assert "numpy" not in command


def test_what_a_shell_would_take_for_its_own_is_quoted(monkeypatch):
    monkeypatch.setattr(extras, "requires", lambda _: ["dask[distributed]<2026.5 ; extra == 'dask'"])
    assert install("dask") == "pip install 'dask[distributed]<2026.5'"


def test_where_the_package_was_never_installed_the_clone_is(monkeypatch):
    def unknown(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(extras, "requires", unknown)
    assert install("s3") == "pip install -e '.[s3]'"


def test_no_sentence_names_an_index_that_has_no_such_package():
    for folder in ("model", "pipelines"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "install lookalike[" not in path.read_text().replace("'", "")
