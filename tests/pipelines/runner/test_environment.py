"""What a worker is made of: told by its source and versions, wherever they are installed."""

import shutil
import subprocess
import sys

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.runner.environment import environment, require_same
from tests.support.places import ROOT


def test_a_process_is_made_as_itself():
    here = environment()
    assert {"lookalike", "python", "numpy", "tensorflow", "scann"} <= here.keys()
    require_same(here)


def test_what_differs_is_named_on_both_sides():
    with pytest.raises(LookalikeError) as error:
        require_same({**environment(), "numpy": "1.0", "new": "2"})
    assert "has: numpy 1.0, new 2. Received: numpy 1.26" in str(error.value)
    assert ", new none on " in str(error.value)


def test_a_digest_is_that_of_the_source_wherever_it_lies(tmp_path):
    shutil.copytree(ROOT / "pipelines", tmp_path / "lookalike")
    shutil.copytree(ROOT / "model", tmp_path / "lookalike" / "model")

    def digest() -> str:
        asked = "from lookalike.runner.environment import environment; print(environment()['lookalike'])"
        return subprocess.check_output(
            [sys.executable, "-c", asked], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, text=True
        ).strip()

    assert digest() == environment()["lookalike"]
    (tmp_path / "lookalike" / "model" / "digests.py").open("a").write("# changed\n")
    assert digest() != environment()["lookalike"]
