"""`lookalike train` from shards to a bundle that answers queries, and what is wrong with the input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from lookalike.model.training.checkpoints import Checkpoint
from lookalike.train import run_folder
from lookalike.train.data import Spool
from lookalike.train.run_folder import read_run
from tests.conftest import SPEC, Job, picture, run, tiny_network
from tests.support.encoding import encode
from tests.support.places import CLOTHING, ROOT

CLASSES = ("blue", "green", "red")
FOLDERS = ("run", "corpus", "validation")


@dataclass
class Seen:
    """Images as training reads them; `model.training.batches.Images`."""

    spool: Spool
    labels: np.ndarray

    def pixels(self, indices):
        return self.spool.pixels(self.labels[indices])


@pytest.fixture(autouse=True)
def not_for_the_whole_process(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)


def coloured(number: int) -> bytes:
    """A picture in which one channel is bright."""
    import cv2

    channel = number % 3
    noise = np.random.default_rng(number).integers(0, 60, (40, 44, 3))
    noise[..., channel] += 150
    return cv2.imencode(".jpg", noise.astype(np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 pictures in three folders, a class each, and the network file to train."""
    folder = tmp_path_factory.mktemp("train")
    for number in range(24):
        path = folder / "photos" / CLASSES[number % 3] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coloured(number))
    for number in range(24, 33):
        path = folder / "validation" / CLASSES[number % 3] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coloured(number))
    tiny_network().save(folder / "tiny.keras")
    return folder


def settings(photos, folder, **keys):
    return {
        "run": str(folder / "run"),
        "corpus": {"shards": str(photos / "photos")},
        "validation": {"shards": str(photos / "validation")},
        "network": {"name": str(photos / "tiny.keras"), "layer": "features", "preprocessing": SPEC, "dim": 8},
        "epochs": 2,
        "batch_size": 8,
        "augmentation": {"rotation": 0, "zoom": 0, "translation": 0},
        **keys,
    }


def start(job, folder, *arguments):
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(job))
    return run("train", "--config", path, *arguments)


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        import tensorflow as tf

        patch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
        done = start(settings(photos, folder), folder)
    assert done.code == 0, done
    return folder, done


def test_the_run_folder_holds_all_that_is_promised(finished):
    folder, done = finished
    found = {path.name for path in (folder / "run").iterdir()}
    assert found == {
        ".lock",
        "card.md",
        "config.yaml",
        "curves.png",
        "metrics.json",
        "network.keras",
        "rejects.parquet",
        "run.json",
        "tensorboard",
    }
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert [row["epoch"] for row in metrics["history"]] == [1, 2]
    assert f"mAP@R {metrics['map_at_r']:.4f}" in done.out
    card = (folder / "run" / "card.md").read_text()
    assert "| blue | 8 | 3 |" in card
    assert (folder / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert yaml.safe_load((folder / "run" / "config.yaml").read_text())["optimizer"]["weight_decay"] == 0.004
    assert "epoch 2: loss" in done.err


def test_tensorboard_finds_every_step_and_epoch(finished):
    import tensorflow as tf

    folder, _ = finished
    (path,) = (folder / "run" / "tensorboard").iterdir()
    found = [
        (value.tag, event.step)
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert [step for tag, step in found if tag == "step/loss"] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "learning_rate", "map_at_r", "hit_rate_at_1", "map"):
        assert [step for tag, step in found if tag == f"epoch/{name}"] == [3, 6]


@pytest.mark.slow
def test_a_finished_run_is_not_done_again_but_for_fresh(finished, tmp_path):
    source, _ = finished
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    job = yaml.safe_load((tmp_path / "train.yaml").read_text()) | {"run": str(tmp_path / "run")}
    written = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    again = start(job, tmp_path)
    assert (again.code, "finished     before" in again.out) == (0, True)
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == written
    other = start(job | {"seed": 1}, tmp_path)
    assert (other.code, "seed was 0 and is 1" in other.sentence) == (2, True)
    for wrong in ({"corpus": {"shards": "nowhere"}}, {"loss": {"options": {"margin": 3}}}, {"train": "head"}):
        untrained = {"network": {"name": "baseline"}} if "train" in wrong else {}
        assert start(job | wrong | untrained, tmp_path, "--fresh").code == 2
        assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == written
    fresh = start(job | {"epochs": 1}, tmp_path, "--fresh")
    assert fresh.code == 0
    assert read_run(tmp_path / "run").epochs == 1


def test_the_network_becomes_an_encoder_that_agrees_with_it_and_answers(finished, photos, tmp_path):
    from lookalike.model.encoder.bundle import Encoder
    from lookalike.model.images.preprocess import parse_spec
    from lookalike.model.networks import backbone

    folder, _ = finished
    bundle = tmp_path / "encoder"
    built = run("encoder", "build", bundle, "--network", folder / "run", "--sample", photos / "photos")
    assert built.code == 0, built
    manifest = json.loads((bundle / "encoder.json").read_text())
    assert (manifest["name"], manifest["dim"], manifest["projection"]) == ("run", 8, None)
    images = [path.read_bytes() for path in sorted((photos / "validation").rglob("*.jpg"))]
    vectors, errors = encode(Encoder.load(bundle), images)
    trained = backbone(str(folder / "run" / "network.keras"), layer="embedding", preprocessing=SPEC).network
    spec = parse_spec(SPEC)
    graph = np.asarray(trained(spec.normalize(np.stack([spec.pixels(image)[0] for image in images]))))
    graph = graph / np.linalg.norm(graph, axis=1, keepdims=True)
    assert not errors
    assert (vectors * graph).sum(axis=1).mean() > 0.985
    job = Job(tmp_path, bundle)
    job.set(corpus={"shards": str(photos / "photos")})
    job.nightly()
    assert job.query(photos / "validation", "-k", 3).code == 0
    first = [row["item_id"].split("/")[0] for row in job.results.to_pylist() if row["rank"] == 1]
    assert np.mean([a == b for a, b in zip(first, sorted(CLASSES * 3), strict=True)]) > 0.7


def test_a_run_that_is_not_finished_or_was_changed_makes_no_encoder(finished, photos, tmp_path):
    folder, _ = finished
    options = ("--sample", photos / "photos")
    empty = run("encoder", "build", tmp_path / "e", "--network", photos, *options)
    assert "Expected a finished training run" in empty.sentence
    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "network.keras").write_bytes(b"?")
    changed = run("encoder", "build", tmp_path / "e", "--network", tmp_path / "run", *options)
    assert "network.keras should have SHA-256" in changed.sentence
    said = tmp_path / "run" / "run.json"
    said.write_text(said.read_text().replace("normalize(", "normalize(1"))
    edited = run("encoder", "build", tmp_path / "e", "--network", tmp_path / "run", *options)
    assert "run.json. It is damaged" in edited.sentence
    assert not (tmp_path / "e").exists()


@pytest.mark.slow
def test_the_head_alone_trains_on_features_that_are_computed_once(photos, tmp_path):
    job = settings(photos, tmp_path, train="head", epochs=3)
    assert "features of 33 images" in start(job, tmp_path).err
    (kept,) = (tmp_path / "run").glob("features-*")
    written = kept.stat().st_mtime_ns
    run_json = tmp_path / "run" / "run.json"
    digest = json.loads(run_json.read_text())["metrics"]
    run_json.unlink()  # as if it had been killed just before
    again = start(job, tmp_path)
    assert "features are there from before" in again.err
    assert kept.stat().st_mtime_ns == written
    assert json.loads(run_json.read_text())["metrics"] == digest
    run_json.unlink()
    content = kept.read_bytes()
    Checkpoint(kept).save({"training": np.zeros((33, 7), np.float32)}, {})
    refused = start(job, tmp_path)
    assert (refused.code, "other features of the training images" in refused.err) == (2, True)
    kept.write_bytes(content)
    start(job, tmp_path)
    before, after = (
        {layer.name: layer.get_weights() for layer in network.layers}
        for network in (tiny_network(), _load(tmp_path / "run" / "network.keras"))
    )
    assert all(
        np.array_equal(a, b) for a, b in zip(before["convolution1"], after["convolution1"], strict=True)
    )


@pytest.mark.slow
def test_features_of_another_network_with_the_same_weights_are_not_used(photos, tmp_path):
    import keras

    def saved(activation):
        keras.utils.set_random_seed(1)
        layers = keras.layers
        image = keras.Input((32, 32, 3))
        x = layers.Conv2D(4, 3, activation=activation, name="convolution")(image)
        keras.Model(image, layers.GlobalAveragePooling2D(name="features")(x)).save(tmp_path / "mine.keras")

    job = settings(photos, tmp_path, train="head", epochs=1)
    job["network"]["name"] = str(tmp_path / "mine.keras")
    saved("relu")
    assert start(job, tmp_path).code == 0
    for activation, found in (("relu", "features are there from before"), ("tanh", "features of 33 images")):
        saved(activation)
        (tmp_path / "run" / "run.json").unlink()
        assert found in start(job, tmp_path).err


def _load(path):
    import keras

    return keras.models.load_model(path)


def test_bad_images_and_missing_labels_are_left_out_and_odd_classes_named(photos, tmp_path):
    odd = tmp_path / "photos"
    shutil.copytree(photos, tmp_path, dirs_exist_ok=True)
    (odd / "blue" / "broken.jpg").write_bytes(coloured(0)[:200])
    (odd / "lost.jpg").write_bytes(coloured(50))
    (odd / "single").mkdir()
    (odd / "single" / "s.jpg").write_bytes(coloured(51))
    for number in (60, 61):
        path = tmp_path / "validation" / "unseen" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(number))
    shutil.copy(odd / "red" / "02.jpg", tmp_path / "validation" / "red" / "copy.jpg")
    (tmp_path / "more" / "blue").mkdir(parents=True)
    for name in ("00.jpg", "03.jpg"):
        shutil.copy(odd / "blue" / name, tmp_path / "more" / "blue" / name)
    both = {"shards": [str(tmp_path / "photos"), str(tmp_path / "more")]}
    done = start(settings(tmp_path, tmp_path, corpus=both, epochs=1), tmp_path)
    assert done.code == 0, done
    rejects = pq.read_table(tmp_path / "run" / "rejects.parquet").to_pylist()
    assert sorted((row["set"], row["item_id"], row["stage"]) for row in rejects) == [
        ("training", "blue/00.jpg", "duplicate"),
        ("training", "blue/03.jpg", "duplicate"),
        ("training", "blue/broken.jpg", "decode"),
        ("training", "lost.jpg", "label"),
    ]
    assert "the record has no directory" in [row["error"] for row in rejects]
    for notice in (
        "a single image in training: single",
        "in validation, but not in training: unseen",
        "in training, but not in validation: single",
        "images that are in training as well as in validation: 1",
        "left out, as their ids came before: 2 images",
    ):
        assert notice in done.out
        assert notice in (tmp_path / "run" / "card.md").read_text()
    card = (tmp_path / "run" / "card.md").read_text()
    assert "| unseen | 0 | 2 |" in card
    assert "- Classes that are not in the table above, and images of another kind" in card, (
        "unseen was measured"
    )
    assert read_run(tmp_path / "run").classes == [*CLASSES, "single"]


def test_labels_come_from_a_field_of_packed_shards_and_validation_from_a_share(tmp_path, photos, encoder):
    job = Job(tmp_path, encoder)
    job.pack({f"p{number:02}.jpg": coloured(number) for number in range(48)}, per_shard=48)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        row["colour"] = CLASSES[row["number"] % 3] if row["number"] != 7 else None
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    from lookalike.sources.pack import pack

    shutil.rmtree(job.shards)
    images = str(tmp_path / "images" / "0")
    pack(images, str(job.shards), format="tfrecord", metadata=str(tmp_path / "rows.jsonl"))
    keys = {
        "corpus": {"shards": str(job.shards)},
        "label": "colour",
        "validation": {"share": 0.3},
        "epochs": 1,
    }
    done = start(settings(photos, tmp_path, **keys), tmp_path)
    assert done.code == 0, done
    (reject,) = pq.read_table(tmp_path / "run" / "rejects.parquet").to_pylist()
    assert (reject["item_id"], reject["error"]) == ("p07.jpg", "the record has no colour")
    identity = read_run(tmp_path / "run").identity
    counts = [int(identity[f"{name} images"].split(",")[0]) for name in ("training", "validation")]
    assert sum(counts) == 47
    assert 8 <= counts[1] <= 20


def test_a_shard_that_is_cut_short_is_named_and_trained_on_as_far_as_it_goes(tmp_path, photos):
    job = Job(tmp_path, tmp_path)
    names = {f"{CLASSES[n % 3]}/{n:02}.jpg": coloured(n) for n in range(48)}
    shard = Path(*job.pack(names, per_shard=48))
    os.truncate(shard, shard.stat().st_size * 3 // 4)
    done = start(settings(photos, tmp_path, corpus={"shards": str(job.shards)}, epochs=1), tmp_path)
    assert done.code == 3
    *_, last = pq.read_table(tmp_path / "run" / "rejects.parquet").to_pylist()
    assert (last["shard"], last["stage"]) == (shard.name, "read")
    assert f"shards of which only a part could be read: {shard}\n" in done.out


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"label": "colour"}, "0 images of 0 classes by `colour`, and 0; of 33 that were refused"),
        ({"corpus": {"shards": "nowhere/*.tar"}}, "No file matches"),
        ({"network": {"name": "efficientnet_lite9"}}, "Received: network=efficientnet_lite9"),
        ({"network": {"name": "baseline"}, "train": "head"}, "trained weights for train: head"),
        (
            {"loss": {"name": "circle"}, "batch_size": 16},
            "of 4 classes: .*Received: 3 classes; set batch_size to 12",
        ),
        (
            {"loss": {"name": "circle", "options": {"scale": 3}}, "batch_size": 8},
            "Expected options of circle",
        ),
    ],
)
def test_what_cannot_be_trained_with_is_told_in_a_sentence(photos, tmp_path, keys, said):
    done = start(settings(photos, tmp_path, **keys), tmp_path)
    assert done.code == 2
    assert re.search(said, done.sentence)


def test_too_few_images_are_refused_with_what_is_wrong_of_each(photos, tmp_path):
    for number in range(3):
        path = tmp_path / "photos" / "blue" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coloured(number)[:200])
    done = start(settings(photos, tmp_path, corpus={"shards": str(tmp_path / "photos")}), tmp_path)
    assert (
        "0 images of 0 classes by `directory`, and 9; of 3 that were refused, the first: JPEG"
        in done.sentence
    )
    assert pq.read_table(tmp_path / "run" / "rejects.parquet").num_rows == 3


def test_validation_images_all_alone_in_their_classes_are_refused(photos, tmp_path):
    for number, name in enumerate(CLASSES):
        path = tmp_path / "validation" / name / "one.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(coloured(number + 90))
    keys = {"validation": {"shards": str(tmp_path / "validation")}}
    done = start(settings(photos, tmp_path, **keys), tmp_path)
    assert "a class with two images" in done.sentence


def test_a_loss_that_is_not_finite_ends_with_a_sentence_and_the_ids(photos, tmp_path):
    keys = {"optimizer": {"learning_rate": 1.0, "clip_norm": None}, "loss": {"options": {"scale": 1e38}}}
    done = start(settings(photos, tmp_path, **keys), tmp_path)
    assert done.code == 2
    assert "Expected a finite loss" in done.sentence
    ids = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    assert len(ids) == 8
    assert ids[0] in done.sentence


def test_a_checkpoint_of_other_settings_or_images_is_refused(photos, tmp_path, monkeypatch):
    images = tmp_path / "photos"
    shutil.copytree(photos / "photos", images)
    keys = {"corpus": {"shards": str(images)}, "checkpoint_minutes": 1e-9, "epochs": 1}
    job = settings(photos, tmp_path, **keys)
    monkeypatch.setattr("lookalike.train.job._write", _interrupted)
    assert start(job, tmp_path).code == 130
    monkeypatch.undo()
    assert (tmp_path / "run" / "checkpoint").exists()
    other = start(job | {"batch_size": 4}, tmp_path)
    assert "batch_size was 8 and is 4" in other.sentence
    (images / "red" / "02.jpg").unlink()
    fewer = start(job, tmp_path)
    assert "training images was '24, digest" in fewer.sentence


def _interrupted(*_):
    raise KeyboardInterrupt


def test_a_folder_of_something_else_is_left_alone(photos, tmp_path):
    stranger = tmp_path / "run" / "thesis.tex"
    stranger.parent.mkdir()
    stranger.write_text("x")
    for arguments in ((), ("--fresh",)):
        assert "which holds thesis.tex" in start(settings(photos, tmp_path), tmp_path, *arguments).sentence
    assert stranger.read_text() == "x"


def test_a_second_training_keeps_out(photos, tmp_path):
    with run_folder.held(tmp_path / "run"):
        assert "Another training is at work" in start(settings(photos, tmp_path), tmp_path).sentence


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(photos, tmp_path):
    ends = []
    for name in ("through", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        job = settings(photos, folder, epochs=3, checkpoint_minutes=1e-9, augmentation={})
        (folder / "train.yaml").write_text(yaml.safe_dump(job))
        command = [sys.executable, "-m", "lookalike", "train", "-c", str(folder / "train.yaml")]
        if name == "killed":
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while not (folder / "run" / "checkpoint").exists():
                assert process.poll() is None
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert read_run(folder / "run") is None
        subprocess.run(command, check=True, capture_output=True)
        network = _load(folder / "run" / "network.keras")
        ends.append([weight.tobytes() for weight in network.get_weights()])
    assert ends[0] == ends[1]


@pytest.mark.slow
@pytest.mark.skipif(not CLOTHING.exists(), reason="the photographs are not in ../shared")
def test_training_and_the_int8_encoder_agree_on_the_bytes_of_photographs(tmp_path):
    from lookalike.model.encoder.bundle import Encoder
    from lookalike.model.images.preprocess import parse_spec
    from lookalike.model.networks import backbone
    from lookalike.model.training.batches import features_of

    for number, path in enumerate(sorted(CLOTHING.glob("train/*/*.jpg"))[::24]):
        folder = tmp_path / ("photos" if number % 5 else "validation") / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    job = yaml.safe_load((ROOT / "config" / "train-finetune.yaml").read_text()) | {"epochs": 1}
    job = job | {key: value for key, value in settings(tmp_path, tmp_path).items() if key in FOLDERS}
    job["network"]["name"] = "efficientnet_lite0"
    assert start(job, tmp_path).code == 0
    built = run(
        "encoder",
        "build",
        tmp_path / "encoder",
        "--network",
        tmp_path / "run",
        "--sample",
        job["corpus"]["shards"],
    )
    assert built.code == 0, built

    trained = read_run(tmp_path / "run")
    spec = parse_spec(trained.preprocessing)
    images = [path.read_bytes() for path in sorted((tmp_path / "validation").rglob("*.jpg"))]
    spool = Spool(tmp_path, spec, 10**9)
    try:
        seen = Seen(spool, np.array([spool.add(image) for image in images]))
        network = backbone(
            str(tmp_path / "run" / "network.keras"), layer=trained.layer, preprocessing=spec.spec
        ).network
        graph = features_of(network, seen, spec)
    finally:
        spool.close()
    graph /= np.linalg.norm(graph, axis=1, keepdims=True)
    cosines = {
        v: (encode(Encoder.load(tmp_path / "encoder", variant=v), images)[0] * graph).sum(axis=1)
        for v in ("int8", "float")
    }
    assert len(images) > 20
    assert cosines["int8"].mean() >= 0.985
    assert cosines["float"].min() > 0.9999
    # A picture agrees with itself, not with any.
    assert (graph @ graph.T).mean() < 0.9
