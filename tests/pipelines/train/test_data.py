"""Labelled images: which are taken, which are refused and why, and what is odd about the classes."""

import hashlib
import shutil

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import parse_spec
from lookalike.train import data
from lookalike.train.config import TrainConfig
from lookalike.train.data import Spool, read_training_data
from tests.conftest import SPEC, picture


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path, parse_spec(SPEC), 1_000_000)
    yield spool
    spool.close()


@pytest.fixture
def folder(tmp_path):
    """Five pictures of two classes to train on, four to validate on."""
    for name in ("train/a/1", "train/a/2", "train/a/3", "train/b/4", "train/b/5"):
        put(tmp_path / f"{name}.jpg", picture(int(name[-1])))
    for name in ("valid/a/6", "valid/a/7", "valid/b/8", "valid/b/9"):
        put(tmp_path / f"{name}.jpg", picture(int(name[-1])))
    return tmp_path


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def job_of(folder, **keys) -> TrainConfig:
    usual = {
        "run": str(folder / "run"),
        "corpus": {"shards": str(folder / "train")},
        "validation": {"shards": str(folder / "valid")},
        "network": {"name": "baseline"},
    }
    return TrainConfig.model_validate(usual | keys)


def rejected(data):
    return [(row["set"], row["item_id"], row["stage"]) for row in data.rejects.to_pylist()]


def test_images_are_kept_in_order_with_their_class_and_pixels(folder, spool):
    data = read_training_data(job_of(folder), spool)
    ids = sorted(data.training.ids)
    assert ids == ["a/1.jpg", "a/2.jpg", "a/3.jpg", "b/4.jpg", "b/5.jpg"]
    assert (data.classes, data.trained_classes) == (["a", "b"], 2)
    assert [data.classes[label] for label in data.training.labels] == [i[0] for i in data.training.ids]
    content = picture(int(data.training.ids[2][2]))
    assert data.training.digests[2] == hashlib.sha256(content).hexdigest()
    expected = parse_spec(SPEC).pixels(content)[0]
    np.testing.assert_array_equal(data.training.pixels(np.array([2, 0]))[0], expected)
    assert data.counts(data.validation) == {"a": 2, "b": 2}
    assert (rejected(data), data.damaged, data.notices()) == ([], [], [])
    data.check(job_of(folder))


def test_each_image_that_is_not_used_has_its_reason(folder, spool):
    put(folder / "train" / "a" / "broken.jpg", picture(1)[:200])
    put(folder / "train" / "lost.jpg", picture(30))
    put(folder / "more" / "a" / "1.jpg", picture(1))
    shards = {"shards": [str(folder / "train"), str(folder / "more")]}
    data = read_training_data(job_of(folder, corpus=shards), spool)
    assert sorted(rejected(data)) == [
        ("training", "a/1.jpg", "duplicate"),
        ("training", "a/broken.jpg", "decode"),
        ("training", "lost.jpg", "label"),
    ]
    assert "the record has no directory" in data.rejects["error"].to_pylist()
    assert data.notices() == ["left out, as their ids came before: 1 images"]


def test_an_id_that_comes_twice_may_be_an_error(folder, spool):
    put(folder / "more" / "a" / "1.jpg", picture(1))
    shards = {"shards": [str(folder / "train"), str(folder / "more")], "duplicate_ids": "error"}
    with pytest.raises(LookalikeError, match=r"Expected each id once, .* Received: a/1\.jpg twice"):
        read_training_data(job_of(folder, corpus=shards), spool)


def test_what_is_odd_about_classes_and_sets_is_told(folder, spool):
    put(folder / "train" / "single" / "s.jpg", picture(31))
    put(folder / "valid" / "unseen" / "u.jpg", picture(32))
    shutil.copy(folder / "train" / "b" / "4.jpg", folder / "valid" / "b" / "copy.jpg")
    data = read_training_data(job_of(folder), spool)
    assert (data.classes, data.trained_classes) == (["a", "b", "single", "unseen"], 3)
    assert data.notices() == [
        "a single image in training: single",
        "a single image in validation, which can ask for no other: unseen",
        "in validation, but not in training: unseen",
        "in training, but not in validation: single",
        "images that are in training as well as in validation: 1",
    ]


def test_a_share_goes_by_the_id_alone_so_that_an_image_stays_where_it_is(folder, spool, tmp_path):
    for number in range(40):
        put(folder / "train" / "a" / f"n{number}.jpg", picture(4))
    share = {"validation": {"share": 0.3}}
    few = read_training_data(job_of(folder, **share), spool)
    assert 5 <= len(few.validation.ids) <= 22
    assert not set(few.training.ids) & set(few.validation.ids)
    put(folder / "train" / "0" / "first.jpg", picture(5))
    with_more = read_training_data(job_of(folder, **share), Spool(tmp_path, parse_spec(SPEC), 1_000_000))
    assert set(few.validation.ids) <= set(with_more.validation.ids)
    assert set(few.training.ids) <= set(with_more.training.ids)


def test_the_digest_changes_with_an_id_a_class_or_an_image(folder, spool, tmp_path):
    def digest():
        return read_training_data(job_of(folder), Spool(tmp_path, parse_spec(SPEC), 10**6)).training.digest()

    first = digest()
    assert digest() == first
    put(folder / "train" / "b" / "5.jpg", picture(50))
    second = digest()
    (folder / "train" / "b" / "5.jpg").rename(folder / "train" / "b" / "6.jpg")
    third = digest()
    (folder / "train" / "b" / "6.jpg").rename(folder / "train" / "a" / "6.jpg")
    assert len({first, second, third, digest()}) == 4


@pytest.mark.parametrize(
    ("gone", "keys", "said"),
    [
        (
            "train/b",
            {},
            r"Expected images of two classes .* Received: 3 images of 1 classes by `directory`, and 4",
        ),
        (
            "nothing",
            {"loss": {"name": "circle"}, "batch_size": 12, "images_per_class": 4},
            "A batch for circle is of 3 classes.* Received: 2 classes; set batch_size to 8 or less",
        ),
    ],
)
def test_too_few_classes_are_refused(folder, spool, gone, keys, said):
    shutil.rmtree(folder / gone, ignore_errors=True)
    job = job_of(folder, **keys)
    data = read_training_data(job, spool)
    with pytest.raises(LookalikeError, match=said):
        data.check(job)


def test_an_image_is_checked_as_it_will_be_read(tmp_path):
    spool = Spool(tmp_path, parse_spec(SPEC), 1_000)
    assert "more than the limit of 1,000" in spool.check(picture(1)).result()
    assert "instead of an image" in spool.check(b"text").result()
    spool.close()


def test_of_large_images_few_wait_to_be_decoded(folder, spool, monkeypatch):
    monkeypatch.setattr(data, "_WAITING_BYTES", 1)
    waiting, most = 0, 0
    check, add = spool.check, spool.add

    def checked(image):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        return check(image)

    def added(image):
        nonlocal waiting
        waiting -= 1
        return add(image)

    monkeypatch.setattr(spool, "check", checked)
    monkeypatch.setattr(spool, "add", added)
    assert len(read_training_data(job_of(folder), spool).training.ids) == 5
    assert most == 2
