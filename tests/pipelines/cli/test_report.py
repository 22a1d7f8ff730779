"""The command `lookalike report`."""

from __future__ import annotations

from tests.conftest import run


def test_answers_alone_are_enough(copied, pictures) -> None:
    assert copied.query(copied.query_file({"q.jpg": pictures["p01.jpg"]}), form="csv").code == 0
    done = run("report", copied.folder / "out", "--rows", 1, "--relevance", "directory")
    assert done.code == 0, done
    assert f"page         {copied.folder / 'out' / 'report.html'} (" in done.out
    assert (copied.folder / "out" / "report.html").exists()


def test_a_folder_of_nothing_is_one_sentence(tmp_path) -> None:
    done = run("report", tmp_path)
    assert done.code == 2
    assert done.sentence.startswith("Expected a folder that `lookalike query`")


def test_keys_of_a_job_file_that_is_not_named_are_refused(tmp_path) -> None:
    done = run("report", tmp_path, "--set", "store=elsewhere")
    assert (done.code, done.sentence) == (2, "Expected --config with --set. Received: --set alone")
