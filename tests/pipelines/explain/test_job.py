"""`lookalike explain`: pictures and items in, a picture and its numbers out."""

import fcntl
import os

import cv2
import numpy as np
import pytest

from lookalike.explain import job as explain_job
from lookalike.store.lock import flocked
from tests.conftest import Job, picture, run, tune


def explained(job, *arguments):
    return job.run("explain", *arguments, "-o", job.folder / "why.png")


def test_a_picture_and_an_item_are_explained_and_the_numbers_add_up(copied):
    (copied.folder / "asked.jpg").write_bytes(picture(70))
    copied.query(copied.folder / "asked.jpg", "-k", "1")
    (row,) = copied.results.to_pylist()
    done = explained(copied, copied.folder / "asked.jpg", row["item_id"])
    assert done.code == 0, done
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert lines["query"] == f"{copied.folder}/asked.jpg, a file"
    assert lines["match"] == f"{row['item_id']}, an item"
    assert f"{row['score']:.4f} by int8, which jobs use" in lines["score"]
    assert lines["shares"].startswith("of 8 x 8 places; those of each picture add up to ")
    assert lines["files"] == f"{copied.folder}/why.png, {copied.folder}/why.npz"
    assert (copied.folder / "why.png").read_bytes().startswith(b"\x89PNG")
    with np.load(copied.folder / "why.npz", allow_pickle=False) as found:
        assert lines["score"].startswith(f"{found['score']:.4f}, cosine by the float network; ")
        for name in ("pairs", "query_map", "match_map"):
            assert abs(found[name].sum() - found["score"]) < 1e-5
        assert found["query_pixels"].shape == found["match_pixels"].shape == (32, 32, 3)


def test_the_same_pictures_give_the_same_files(published, tmp_path):
    for name in ("a", "b"):
        done = published.run("explain", "p00.jpg", "p01.jpg", "-o", tmp_path / f"{name}.jpg")
        assert done.code == 0, done
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_two_files_need_no_store(job, tmp_path):
    for seed in (1, 2):
        (tmp_path / f"{seed}.png").write_bytes(picture(seed, form=".png"))
    done = explained(job, tmp_path / "1.png", tmp_path / "2.png")
    assert done.code == 0, done
    assert not job.store.exists()


def test_what_jobs_do_besides_is_noted(tuned):
    tune(tuned, "--query-expansion", "2,1")
    done = explained(tuned, "p00.jpg", "p01.jpg")
    assert "around the search jobs also do: query expansion 2,1" in done.out


def test_what_is_neither_a_picture_nor_served_is_told(copied):
    assert run("exclude", "add", "-c", saved(copied), "p02.jpg").code == 0
    for given, expected in (
        ("p00.jpeg", "Received: p00.jpeg; did you mean p00.jpg?"),
        ("p02.jpg", "the id of an item that is served and whose shard still holds it. Received: p02.jpg"),
        (saved(copied), f"Expected a picture that can be decoded. Received: {saved(copied)}: text"),
    ):
        done = explained(copied, "p01.jpg", given)
        assert done.code == 2
        assert expected in done.sentence
    assert not (copied.folder / "why.png").exists()


def saved(job):
    _ = job.loaded
    return job.config


@pytest.mark.parametrize(
    ("out", "expected"),
    [("why.gif", "ends in .png or .jpg"), (".png", "ends in .png"), ("p01.jpg", "another file to write")],
)
def test_an_out_that_is_no_picture_or_one_of_the_two_is_refused(published, out, expected):
    done = published.run("explain", "p00.jpg", "p01.jpg", "-o", out)
    assert done.code == 2
    assert expected in done.sentence


def test_what_is_served_is_not_pruned_while_its_pictures_are_read(published, tmp_path, monkeypatch):
    read = explain_job.item_pictures

    def meanwhile(config, generation, wanted):
        manifest = published.store / "generations" / generation.name / "manifest.json"
        with pytest.raises(BlockingIOError), flocked(str(manifest), fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_RDWR):
            pass
        return read(config, generation, wanted)

    monkeypatch.setattr(explain_job, "item_pictures", meanwhile)
    assert published.run("explain", "p00.jpg", "p01.jpg", "-o", tmp_path / "why.png").code == 0


def test_an_out_that_is_one_of_the_two_by_another_path_is_refused(published, tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (tmp_path / "link").symlink_to(tmp_path)
    done = published.run("explain", tmp_path / "a.jpg", "p01.jpg", "-o", tmp_path / "link" / "a.jpg")
    assert "Expected another file to write" in done.sentence
    assert (tmp_path / "a.jpg").read_bytes() == picture(1)


@pytest.mark.slow
def test_a_picture_without_a_direction_has_no_score(make_encoder, tmp_path):
    make_encoder(tmp_path / "encoder", use_bias=False, dim=None)
    job = Job(tmp_path, tmp_path / "encoder")
    grey = cv2.imencode(".png", np.full((40, 40, 3), 127, np.uint8))[1].tobytes()
    for name, content in {"grey": grey, "other": picture(1)}.items():
        (tmp_path / name).write_bytes(content)
    assert "a vector of zeros" in explained(job, tmp_path / "grey", tmp_path / "other").sentence


def test_vectors_of_another_encoder_than_the_index_are_not_explained(copied, other_encoder):
    done = explained(copied.set(encoder=str(other_encoder)), "p00.jpg", "p01.jpg")
    assert done.code == 2
    assert "vectors of two encoders cannot be compared" in done.sentence


def test_what_has_no_end_or_is_too_large_is_not_read(published, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "sparse.jpg").touch()
    os.truncate(tmp_path / "sparse.jpg", 1 << 40)
    for name, said in (
        ("pipe.jpg", "no file"),
        ("sparse.jpg", "1,099,511,627,776 bytes, more than corpus.max_bytes"),
    ):
        done = published.run("explain", tmp_path / name, "p00.jpg", "-o", tmp_path / "why.png")
        assert done.code == 2
        assert f"Expected a picture that can be read. Received: {tmp_path}/{name}: {said}" in done.sentence
