"""The folder of a run: held by one training, cleared of what a dead one left, and read only when whole."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.train import run_folder


def test_what_killed_runs_left_half_written_is_cleared_and_nothing_else(tmp_path):
    for name in (".checkpoint.tmp-7", ".features-0123456789abcdef.tmp-7", "checkpoint", ".lock"):
        (tmp_path / name).write_bytes(b"")
    with run_folder.held(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", ".lock"}
    (tmp_path / "features-of-mine.txt").write_bytes(b"")
    with pytest.raises(LookalikeError, match=r"which holds features-of-mine\.txt"), run_folder.held(tmp_path):
        pass


RUN = run_folder.Run("decode", "embedding", 8, "0" * 64, ["a", "b"], 3, 2, {"map": 0.5}, {"seed": 1})


def test_one_training_keeps_another_out_of_its_folder(tmp_path):
    with (
        run_folder.held(tmp_path / "run"),
        pytest.raises(LookalikeError, match="Another training is at work"),
        run_folder.held(tmp_path / "run"),
    ):
        pass
    with run_folder.held(tmp_path / "run"):
        pass


def test_a_folder_of_another_program_is_refused_though_its_files_are_called_like_ours(tmp_path):
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(LookalikeError, match=r"which holds config\.yaml"), run_folder.held(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    RUN.write(tmp_path)
    with run_folder.held(tmp_path):
        pass


def test_clearing_deletes_all_that_is_ours_but_the_lock(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tensorboard").symlink_to("elsewhere")
    (tmp_path / "features-0123456789abcdef").mkdir()
    for name in (".lock", "run.json", "features-0123456789abcdef/x", "elsewhere/mine"):
        (tmp_path / name).touch()
    run_folder.clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "elsewhere"}
    assert (tmp_path / "elsewhere" / "mine").exists()


def test_a_run_comes_back_as_it_was_and_is_none_where_it_is_not_finished(tmp_path):
    assert run_folder.read_run(tmp_path) is None
    RUN.write(tmp_path)
    assert run_folder.read_run(tmp_path) == RUN


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"dim": 8', '"dim": 9'),
        lambda text: text.replace('"format": 2', '"format": 3'),
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: "{}",
    ],
)
def test_a_run_that_was_changed_is_refused(tmp_path, damage):
    RUN.write(tmp_path)
    path = tmp_path / "run.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(LookalikeError, match="Expected a training run of format 2"):
        run_folder.read_run(tmp_path)


def test_the_network_of_a_run_is_the_one_that_it_wrote(tmp_path):
    with pytest.raises(LookalikeError, match=r"Expected a finished training run .* no run\.json there"):
        run_folder.trained_network(tmp_path)
    run = replace(RUN, network_sha256=hashlib.sha256(b"network").hexdigest())
    run.write(tmp_path)
    with pytest.raises(LookalikeError, match="Received: no such file"):
        run_folder.trained_network(tmp_path)
    (tmp_path / "network.keras").write_bytes(b"network")
    assert run_folder.trained_network(tmp_path) == (run, tmp_path / "network.keras")
    (tmp_path / "network.keras").write_bytes(b"netw0rk")
    with pytest.raises(LookalikeError, match="The run is damaged"):
        run_folder.trained_network(tmp_path)
