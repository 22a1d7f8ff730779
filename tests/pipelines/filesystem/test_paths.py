"""Paths as people write them."""

import os
import re

import pytest

from lookalike.config.job import load_config
from lookalike.filesystem.paths import checked, expanded, written
from lookalike.model.errors import LookalikeError
from lookalike.train.config import load_train_config
from tests.conftest import run


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    monkeypatch.setenv("HOME", "/home/one")
    monkeypatch.setenv("PLACE", "/srv/night")
    monkeypatch.setenv("EMPTY", "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("~", "/home/one"),
        ("~/store", "/home/one/store"),
        ("./~/store", "./~/store"),
        ("a~/b", "a~/b"),
        ("~root/x", os.path.expanduser("~root") + "/x"),
        ("$PLACE/store", "/srv/night/store"),
        ("${PLACE}s/{a,b}.tar", "/srv/nights/{a,b}.tar"),
        ("s3://bucket$PLACE/~", "s3://bucket/srv/night/~"),
        ("$5/$$PLACE/$", "$5/$PLACE/$"),
        ("", ""),
        ("$${PLACE:-x}/$$(pwd)", "${PLACE:-x}/$(pwd)"),
        ("file:///srv/$PLACE", "file:///srv//srv/night"),
        ("caf\udce9/*.jpg", "caf\udce9/*.jpg"),
    ],
)
def test_the_home_folder_and_variables_are_written_out(path, expected):
    assert expanded(path) == expected


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("~nobody-of-this-name/x", "no home folder ~nobody-of-this-name"),
        ("$NOT_SET_HERE/x", "variable NOT_SET_HERE is not set"),
        ("${NOT_SET_HERE}", "variable NOT_SET_HERE is not set"),
        ("$EMPTY/x", "variable EMPTY is not set"),
        ("a\0b", "zero bytes"),
        ("${PLACE:-/tmp}/x", "Expected $NAME or ${NAME}"),
        ("$(pwd)/x", "Expected $NAME or ${NAME}"),
        ("${}", "Expected $NAME or ${NAME}"),
        ("file:/srv/x", "Expected a URL with //"),
    ],
)
def test_what_cannot_be_written_out_is_refused(path, said):
    with pytest.raises(LookalikeError, match=re.escape(said)):
        expanded(path)
    with pytest.raises(ValueError, match=re.escape(said)):
        checked(path)


def test_values_are_not_expanded_again(monkeypatch):
    monkeypatch.setenv("HOME", "/home/$PLACE")
    monkeypatch.setenv("PLACE", "~/$HOME")
    assert expanded("~/a") == "/home/$PLACE/a"
    assert expanded("$PLACE") == "~/$HOME"


@pytest.mark.parametrize("path", ["~/a", "$PLACE", "a/$$", "~", "plain"])
def test_a_written_path_is_read_as_it_was(path):
    assert os.path.normpath(expanded(written(path))) == path


def test_every_path_of_a_job_file_is_written_out(tmp_path):
    (tmp_path / "job.yaml").write_text(
        "corpus: {shards: [~/a, $PLACE/b]}\nencoder: ~/e\nstore: $PLACE/store\nindex: {tuning_queries: ~/q.txt}\n"
    )
    job = load_config(tmp_path / "job.yaml", ["encoder=$PLACE/e"])
    assert job.corpus.shards == ["/home/one/a", "/srv/night/b"]
    assert (job.encoder, job.store) == ("/srv/night/e", "/srv/night/store")
    assert job.index.tuning_queries == "/home/one/q.txt"
    (tmp_path / "job.yaml").write_text("corpus: {shards: a}\nencoder: e\nstore: $NOT_SET_HERE/store\n")
    with pytest.raises(LookalikeError, match=r"line 3: `store`: .*NOT_SET_HERE is not set"):
        load_config(tmp_path / "job.yaml")
    with pytest.raises(
        LookalikeError, match=r"`corpus.shards`: .*NOT_SET_HERE is not set.* Received: '\$NOT"
    ):
        load_config(tmp_path / "job.yaml", ["corpus.shards=$NOT_SET_HERE/store", "store=a"])
    with pytest.raises(
        LookalikeError, match=r"`store`: a path is expected, not an empty text. Received: ' '"
    ):
        load_config(tmp_path / "job.yaml", ["store=' '"])


def test_every_path_of_a_training_is_written_out(tmp_path):
    (tmp_path / "job.yaml").write_text(
        "corpus: {shards: ~/a}\nrun: $PLACE/run\nvalidation: {shards: ~/v}\n"
        "network: {name: ~/n.keras, weights: $PLACE/w.weights.h5}\n"
    )
    job = load_train_config(tmp_path / "job.yaml")
    assert (job.corpus.shards, job.run, job.validation.shards) == (
        "/home/one/a",
        "/srv/night/run",
        "/home/one/v",
    )
    assert (job.network.name, job.network.weights) == ("/home/one/n.keras", "/srv/night/w.weights.h5")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "$NOT_SET_HERE", "out"],
        ["pack", "images", "$NOT_SET_HERE"],
        ["pack", "images", "out", "--metadata", "$NOT_SET_HERE"],
        ["query", "$NOT_SET_HERE", "-c", "job.yaml", "-o", "out"],
        ["query", "q", "-c", "job.yaml", "-o", "$NOT_SET_HERE"],
        ["query", "q", "-c", "$NOT_SET_HERE", "-o", "out"],
        ["evaluate", "-c", "a", "--queries", "q", "--relevance", "$NOT_SET_HERE", "-o", "out"],
        ["evaluate", "-c", "a", "--queries", "$NOT_SET_HERE", "--relevance", "r", "-o", "out"],
        ["evaluate", "-c", "$NOT_SET_HERE", "--queries", "q", "--relevance", "r", "-o", "out"],
        ["evaluate", "-c", "a", "--queries", "q", "--relevance", "r", "-o", "$NOT_SET_HERE"],
        ["train", "-c", "$NOT_SET_HERE"],
        ["encoder", "build", "$NOT_SET_HERE", "--sample", "s"],
        ["encoder", "build", "out", "--sample", "$NOT_SET_HERE"],
        ["encoder", "tune", "$NOT_SET_HERE"],
        ["exclude", "add", "-c", "job.yaml", "--from", "$NOT_SET_HERE"],
        ["demo", "-o", "$NOT_SET_HERE"],
    ],
)
def test_every_path_among_the_arguments_is_written_out(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.code == 2
    assert "NOT_SET_HERE is not set" in done.sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["s3://", "gs:///", "$NIGHT://"])
def test_a_url_names_a_bucket(monkeypatch, url):
    monkeypatch.setenv("NIGHT", "az")
    with pytest.raises(ValueError, match="a bucket is expected in a URL"):
        checked(url)
