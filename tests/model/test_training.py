"""Training on little blobs: it learns, repeats itself, goes on after a stop as if there had been none, and stops."""

import numpy as np
import pytest

from model.checkpoints import Checkpoint
from model.errors import LookalikeError
from model.preprocess import parse_spec
from model.recipe import Recipe
from tests.conftest import SPEC, tiny_network

SIDE = 32


class Blobs:
    """Images of one colour a class, with noise."""

    def __init__(self, labels, seed=0):
        rng = np.random.default_rng(seed)
        self.labels = np.array(labels, np.int64)
        self.ids = [f"i{number}" for number in range(len(labels))]
        colours = np.random.default_rng(7).integers(40, 216, (1 + max(labels), 3))
        noise = rng.normal(0, 25, (len(labels), SIDE, SIDE, 3))
        self._pixels = np.clip(colours[self.labels][:, None, None] + noise, 0, 255).astype(np.uint8)

    def pixels(self, indices):
        return self._pixels[indices]


class Log:
    """A listener that keeps what it is told, and may raise at a step."""

    def __init__(self, stop_at=None):
        self.steps, self.rows, self.began, self._stop_at = [], [], None, stop_at

    def begin(self, done, steps):
        self.began = (done, steps)

    def step(self, step):
        if step.done == self._stop_at:
            raise KeyboardInterrupt
        self.steps.append(step)

    def epoch(self, row):
        self.rows.append(row)


@pytest.fixture(autouse=True)
def not_for_the_whole_process(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)


def normalised_network(use_bias=True):
    """With batch normalisation and dropout: state that steps change besides weights."""
    import keras

    x = image = keras.Input((SIDE, SIDE, 3), name="image")
    for number, filters in enumerate((6, 8), 1):
        x = keras.layers.Conv2D(
            filters, 3, 2, padding="same", use_bias=use_bias, name=f"convolution{number}"
        )(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, name=f"bn{number}")(x))
    x = keras.layers.Dropout(0.1, seed=3)(keras.layers.GlobalAveragePooling2D(name="features")(x))
    return keras.Model(image, keras.layers.Dense(4, name="embedding")(x), name="normalised")


RECIPE = {
    "epochs": 2,
    "batch_size": 8,
    "optimizer": {"learning_rate": 0.01},
    "augmentation": {"flip": "none", "rotation": 0, "zoom": 0, "translation": 0},
}


def make(
    tmp_path, keys=(), listener=None, images=None, validation=None, network=None, frozen=False, identity=None
):
    from model.assembly import assemble
    from model.sampling import class_counts
    from model.training import Training, seed_everything

    recipe = Recipe.model_validate({**RECIPE, **dict(keys)})
    seed_everything(recipe.seed)
    images = images or Blobs([0, 1, 2] * 8)
    network = network or normalised_network()
    assembly = assemble(network, recipe, class_counts(images.labels), frozen, "float32")
    training = Training(
        assembly,
        recipe,
        images,
        validation or Blobs([0, 1, 2] * 3, seed=1),
        checkpoint=Checkpoint(tmp_path / "checkpoint"),
        identity=identity or {"a": 1},
        listener=listener or Log(),
        preprocess=parse_spec(SPEC),
        checkpoint_seconds=0,
    )
    return assembly, training


def weights_of(trained):
    return [weight.tobytes() for weight in trained.network.get_weights()]


def test_it_learns_to_tell_colours_apart(tmp_path):
    log = Log()
    _, training = make(tmp_path, {"epochs": 5, "averaging": 0.5}, log)
    trained = training.run()
    assert trained.history == log.rows
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    best = trained.history[trained.best_epoch - 1]
    assert best["map_at_r"] == max(row["map_at_r"] for row in trained.history) > 0.9
    assert log.began == (0, 15)
    assert [(s.epoch, s.step, s.done) for s in log.steps[2:4]] == [(1, 3, 3), (2, 1, 4)]


@pytest.mark.parametrize(
    ("keys", "stop_at"),
    [
        ({"augmentation": {"rotation": 20}}, 2),
        # The first step of an epoch, where a part thaws: the checkpoint is of the optimizer before.
        ({"train": "gradual", "optimizer": {"learning_rate": 0.01, "part_rate": 0.5}}, 4),
    ],
)
def test_a_stopped_training_ends_with_the_weights_of_one_that_was_not(tmp_path, keys, stop_at):
    through = tmp_path / "through"
    through.mkdir()
    _, training = make(through, keys)
    whole = training.run()
    _, training = make(tmp_path, keys, Log(stop_at))
    with pytest.raises(KeyboardInterrupt):
        training.run()
    log = Log()
    _, training = make(tmp_path, keys, log)
    resumed = training.run()
    assert log.began == (stop_at - 1, 6)
    assert weights_of(resumed) == weights_of(whole)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_another_seed_gives_another_order(tmp_path):
    orders = [make(tmp_path, {"seed": seed})[1]._order(0).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_gradual_training_thaws_from_the_head_and_leaves_the_rest_alone(tmp_path):
    assembly, training = make(tmp_path, {"train": "gradual", "epochs": 2, "averaging": 0})
    names = [part.name for part in assembly.parts]
    assert names == ["stem", "stage1", "head"]
    before = {name: part.layers[0].get_weights() for name, part in zip(names, assembly.parts, strict=True)}
    trained = training.run()
    assert [row["parts"] for row in trained.history] == [1, 2]
    after = {name: part.layers[0].get_weights() for name, part in zip(names, assembly.parts, strict=True)}
    changed = {name: not np.array_equal(before[name][0], after[name][0]) for name in names}
    assert changed == {"stem": False, "stage1": True, "head": True}


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_of_batch_normalisation_are_frozen_or_updated(tmp_path, frozen):
    assembly, training = make(tmp_path, {"epochs": 1}, frozen=frozen)
    layer = assembly.network.get_layer("bn1")
    mean, scale = layer.moving_mean.numpy(), layer.gamma.numpy()
    training.run()
    assert np.array_equal(layer.moving_mean.numpy(), mean) == frozen
    assert not np.array_equal(layer.gamma.numpy(), scale)
    averaged = assembly.average.get_layer("bn1").moving_mean.numpy()
    assert np.array_equal(averaged, mean) == frozen


def test_frozen_parts_keep_their_statistics_too(tmp_path):
    assembly, training = make(tmp_path, {"train": "gradual", "epochs": 1})
    before = assembly.network.get_layer("bn1").moving_mean.numpy()
    training.run()
    assert np.array_equal(assembly.network.get_layer("bn1").moving_mean.numpy(), before)


@pytest.mark.parametrize(
    "keys",
    [
        {"loss": {"name": "batch_hard_triplet"}},
        {"loss": {"name": "proxy_anchor"}},
        {"loss": {"name": "cross_entropy"}, "augmentation": {"mixup": 0.2, "cutmix": 1.0}},
        {"imbalance": {"sampling": "class_balanced", "class_weights": True, "logit_adjustment": 1.0}},
    ],
)
def test_losses_heads_and_ways_with_imbalance_train(tmp_path, keys):
    images = Blobs([0] * 9 + [1] * 8 + [2])  # a class with a single image
    _, training = make(tmp_path, {"epochs": 1, **keys}, images=images)
    assert np.isfinite(training.run().history[0]["loss"])


def test_patience_ends_training(tmp_path):
    # From the first epoch on all is found: nothing can be better.
    images = Blobs([0, 1] * 8)
    keys = {"epochs": 9, "patience": 1, "optimizer": {"learning_rate": 1e-6}}
    _, training = make(tmp_path, keys, images=images, validation=images, network=tiny_network())
    assert len(training.run().history) < 9


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_ids_and_keeps_the_checkpoint(tmp_path):
    from model.training import NotFiniteError

    class Poisoned(Blobs):
        def pixels(self, indices):
            pixels = super().pixels(indices).astype(np.float32)
            pixels[np.asarray(indices) == 5] = np.nan
            return pixels

    images = Poisoned([0, 1, 2] * 8)
    _, training = make(tmp_path, images=images)
    with pytest.raises(NotFiniteError, match=r"in epoch 1, step \d of 3") as stop:
        training.run()
    assert len(stop.value.ids) == 8
    assert "i5" in stop.value.ids
    found = Checkpoint(tmp_path / "checkpoint").load()
    if found:  # none if it was the first step
        assert all(np.isfinite(array).all() for array in found[0].values())


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    _, training = make(tmp_path, listener=Log(stop_at=3))
    with pytest.raises(KeyboardInterrupt):
        training.run()
    _, training = make(tmp_path, identity={"a": 2})
    with pytest.raises(LookalikeError, match="a was 1 and is 2"):
        training.run()


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    with pytest.raises(LookalikeError, match="two classes or more"):
        make(tmp_path, images=Blobs([0] * 8))


@pytest.mark.parametrize("folded", [False, True])
def test_mixed_precision_trains_and_gives_a_float_network(tmp_path, folded):
    from model.assembly import assemble

    recipe = Recipe.model_validate(RECIPE)
    assembly = assemble(normalised_network(not folded), recipe, np.array([8, 8, 8]), True, "mixed_bfloat16")
    assert {part.layers[0].compute_dtype for part in assembly.parts} == {"bfloat16"}
    assert {layer.compute_dtype for layer in assembly.average.layers} == {"float32"}
    assert {weight.dtype for weight in assembly.network.weights} == {"float32"}
