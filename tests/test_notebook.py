"""The notebook of the documentation runs, and what is kept in it is what comes of it."""

from __future__ import annotations

import nbformat
import pytest

from tests.support.notebooks import NOTEBOOK, executed

MOST_BYTES = 300_000


def outputs(notebook):
    """Of each cell: its texts, and of pictures the type."""
    return [
        [
            one.text if one.output_type == "stream" else sorted(one.get("data", one))
            for one in cell.get("outputs", [])
        ]
        for cell in notebook.cells
    ]


def test_the_notebook_is_kept_small_and_whole():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    assert sum("image/jpeg" in kinds for cell in outputs(notebook) for kinds in cell) == 3


@pytest.mark.slow
def test_the_notebook_runs_to_what_is_kept_in_it(tmp_path):
    pytest.importorskip("skimage", reason="the photographs are those of scikit-image")
    assert outputs(executed(tmp_path)) == outputs(nbformat.read(NOTEBOOK, as_version=4))
