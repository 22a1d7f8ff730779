"""The short form of `python -m tests.jobs.damaged_files`: a few damages of every file that a job reads."""

import pytest

from tests.jobs.damaged_files import sweep


@pytest.mark.slow
def test_whatever_is_damaged_a_command_ends_with_a_sentence_that_names_it(tmp_path):
    assert sweep(tmp_path, seed=0, each=2, most=1, say=lambda line: None) == []
