"""The job file that `lookalike init` writes is one, with the user's paths in it."""

from __future__ import annotations

import pytest

from lookalike.config import examples
from lookalike.config.examples import example, filled_in
from lookalike.config.job import load_config
from lookalike.model.errors import LookalikeError
from tests.conftest import picture, run
from tests.support.places import ROOT


@pytest.mark.parametrize(
    "name",
    ["photos", "a: b", "it's", "# 1", "$HOME", "1", "a\nb\n...", "*.tar", "config/nightly.yaml", "é \u202e"],
)
def test_paths_are_filled_in_whatever_they_are(tmp_path, name):
    path = tmp_path / "job.yaml"
    path.write_text(filled_in(name, f"/e/{name}", f"/s/{name}", f"x/{name}.yaml"))
    job = load_config(path)
    assert (job.corpus.shards, job.encoder, job.store) == (name, f"/e/{name}", f"/s/{name}")
    assert job.query.k == 10


def test_all_that_the_annotated_file_says_is_kept(tmp_path):
    lines = filled_in("photos/", "encoder", "store", "shop.yaml").splitlines()
    before = example("nightly.yaml").read_text().splitlines()
    assert len(lines) == len(before)
    assert "#   lookalike nightly -c shop.yaml" in lines
    assert sum(one != other for one, other in zip(lines, before, strict=True)) <= 6
    assert max(map(len, lines)) <= 120


def test_init_writes_a_job_file_once_and_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos" / "a.jpg").write_bytes(picture(1))
    outcome = run("init", "my photos")
    assert outcome.code == 0
    assert "lookalike encoder build encoders/lite0 --sample 'my photos'\n" in outcome.out
    assert load_config(tmp_path / "lookalike.yaml").corpus.shards == "my photos"
    (tmp_path / "lookalike.yaml").write_text("mine")
    again = run("init", "my photos")
    assert (again.code, (tmp_path / "lookalike.yaml").read_text()) == (2, "mine")
    assert "Expected a new file. Received: lookalike.yaml" in again.sentence


def test_init_refuses_what_holds_no_images_before_it_writes(tmp_path):
    outcome = run("init", tmp_path / "nothing", "-o", tmp_path / "job.yaml")
    assert outcome.code == 2
    assert "nothing" in outcome.sentence
    assert not (tmp_path / "job.yaml").exists()


@pytest.mark.parametrize("given", [(), ("--store", "/elsewhere/store")])
def test_init_refuses_a_store_and_an_encoder_among_the_images(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(picture(1))
    outcome = run("init", ".", *given)
    assert outcome.code == 2
    what, place = ("--encoder", "encoders/lite0") if given else ("--store", "store")
    assert f"Expected {what} outside of the folder of images ." in outcome.sentence
    assert outcome.sentence.endswith(f"Received: {place}")
    assert not (tmp_path / "lookalike.yaml").exists()
    assert run("init", ".", "--store", ".search/store", "--encoder", "../encoder").code == 0


def test_job_files_are_those_of_the_clone_or_those_of_the_wheel(tmp_path, monkeypatch):
    assert example("demo.yaml") == ROOT / "config" / "demo.yaml"
    (tmp_path / "wheel").mkdir()
    (tmp_path / "wheel" / "demo.yaml").write_text("")
    monkeypatch.setattr(examples, "_PLACES", (tmp_path / "wheel", ROOT / "config"))
    assert example("demo.yaml") == tmp_path / "wheel" / "demo.yaml"
    with pytest.raises(LookalikeError, match=r"Expected the job file none\.yaml with the package"):
        example("none.yaml")
