"""Training on little blobs: it learns, repeats itself, goes on after a stop as if there had been none, and stops."""

import sys
import tempfile

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import parse_spec
from lookalike.model.training.checkpoints import Checkpoint
from lookalike.model.training.recipe import Recipe
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
    """A listener that keeps what it is told, may raise at a step, and keeps what a function gives after each."""

    def __init__(self, stop_at=None, after_step=lambda: None, after_epoch=lambda: None):
        self.steps, self.rows, self.began, self._stop_at = [], [], None, stop_at
        self.after_step, self.after_epoch = after_step, after_epoch
        self.seen = []

    def begin(self, done, steps):
        self.began = (done, steps)

    def step(self, step):
        if step.done == self._stop_at:
            raise KeyboardInterrupt
        self.steps.append(step)
        self.seen.append(self.after_step())

    def epoch(self, row):
        self.rows.append(row)
        self.seen.append(self.after_epoch())


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
    tmp_path,
    keys=(),
    listener=None,
    images=None,
    validation=None,
    network=None,
    frozen=False,
    identity=None,
    policy="float32",
):
    from lookalike.model.training.assembly import assemble
    from lookalike.model.training.loop import Training, seed_everything
    from lookalike.model.training.sampling import class_counts

    recipe = Recipe.model_validate({**RECIPE, **dict(keys)})
    seed_everything(recipe.seed)
    images = images or Blobs([0, 1, 2] * 8)
    network = network or normalised_network()
    assembly = assemble(network, recipe, class_counts(images.labels), frozen, policy)
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


def test_a_training_leaves_nothing_where_temporary_files_lie(tmp_path, monkeypatch):
    """TensorFlow's AutoGraph leaves the compiled file of each function that it converts, for ever."""
    from lookalike.model.training.batches import features_of

    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    make(tmp_path, {"epochs": 1, "augmentation": {"rotation": 10}})[1].run()
    features_of(normalised_network(), Blobs([0, 1]), parse_spec(SPEC))
    assert not list((tmp_path / "temporary").iterdir())


def test_it_learns_to_tell_colours_apart(tmp_path):
    log = Log()
    _, training = make(tmp_path, {"epochs": 5, "ema": 0.5}, log)
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
        # The first step of an epoch, where a part is unfrozen: the checkpoint is of the optimizer before.
        ({"train": "gradual", "optimizer": {"learning_rate": 0.01, "part_rate": 0.5}}, 4),
    ],
)
@pytest.mark.slow
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


@pytest.mark.slow
def test_gradual_training_unfreezes_from_the_head_and_leaves_the_rest_alone(tmp_path):
    assembly, training = make(tmp_path, {"train": "gradual", "epochs": 2, "ema": 0})
    names = [part.name for part in assembly.parts]
    assert names == ["stem", "stage1", "head"]
    before = {name: part.layers[0].get_weights() for name, part in zip(names, assembly.parts, strict=True)}
    trained = training.run()
    assert [row["parts"] for row in trained.history] == [1, 2]
    after = {name: part.layers[0].get_weights() for name, part in zip(names, assembly.parts, strict=True)}
    changed = {name: not np.array_equal(before[name][0], after[name][0]) for name in names}
    assert changed == {"stem": False, "stage1": True, "head": True}


@pytest.mark.slow
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


@pytest.mark.slow
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
    from lookalike.model.training.loop import NotFiniteError

    class Poisoned(Blobs):
        def pixels(self, indices):
            pixels = super().pixels(indices).astype(np.float32)
            pixels[np.asarray(indices) == 5] = np.nan
            return pixels

    images = Poisoned([0, 1, 2] * 8)
    _, training = make(tmp_path, images=images)
    with pytest.raises(NotFiniteError, match="in epoch 1, step 3 of 3") as stop:
        training.run()
    assert len(stop.value.ids) == 8
    assert "i5" in stop.value.ids
    arrays, note = Checkpoint(tmp_path / "checkpoint").load()
    assert note["step"] == 2
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("change", ["missing", "shape", "note"])
def test_a_checkpoint_that_lacks_what_this_training_has_is_refused(tmp_path, change):
    _, training = make(tmp_path)
    training._begin_epoch()
    training._save()
    arrays, note = training._checkpoint.load()
    name = next(name for name in arrays if name.startswith("network/"))
    if change == "missing":
        del arrays[name]
    elif change == "shape":
        arrays[name] = np.zeros((7, 7), np.float32)
    else:
        del note["epoch"]
    training._checkpoint.save(arrays, note)
    with pytest.raises(
        LookalikeError, match=r"Expected a checkpoint as this version writes it in .* --fresh"
    ):
        make(tmp_path)[1].run()


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    _, training = make(tmp_path, listener=Log(stop_at=3))
    with pytest.raises(KeyboardInterrupt):
        training.run()
    _, training = make(tmp_path, identity={"a": 2})
    with pytest.raises(LookalikeError, match="a was 1 and is 2"):
        training.run()


@pytest.mark.slow
@pytest.mark.parametrize("folded", [False, True])
def test_mixed_precision_trains_and_gives_a_float_network(tmp_path, folded):
    log = Log()
    assembly, training = make(
        tmp_path,
        {"epochs": 5, "ema": 0.5},
        log,
        network=normalised_network(use_bias=not folded),
        frozen=True,
        policy="mixed_bfloat16",
    )
    assert {part.layers[0].compute_dtype for part in assembly.parts} == {"bfloat16"}
    assert {layer.compute_dtype for layer in assembly.average.layers} == {"float32"}
    assert {weight.dtype for weight in assembly.network.weights} == {"float32"}
    training.run()
    assert log.rows[-1]["loss"] < log.rows[0]["loss"]


def test_a_network_with_operators_and_normalisation_inside_trains(tmp_path):
    import keras

    seen = keras.layers.Normalization(name="seen")
    seen.adapt(np.random.default_rng(0).normal(0.2, 0.5, (8, SIDE, SIDE, 3)))
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Conv2D(6, 3, 2, use_bias=False, name="convolution")(seen(image * 2.0 - 1.0))
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x + keras.ops.relu(x))
    network = keras.Model(image, keras.layers.Dense(4, name="embedding")(x))
    pixels = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    before = network(pixels)
    log = Log()
    assembly, training = make(tmp_path, {"epochs": 5, "ema": 0.5}, log, network=network, frozen=True)
    for copy in (assembly.network, assembly.body, assembly.average):
        np.testing.assert_allclose(copy(pixels), before, rtol=1e-4, atol=1e-6)
    training.run()
    assert log.rows[-1]["loss"] < log.rows[0]["loss"]


def test_the_moving_average_is_that_of_the_weights_after_each_step(tmp_path):
    from lookalike.model.training.schedule import ema_decay

    log = Log()
    assembly, training = make(tmp_path, {"epochs": 1, "ema": 0.15}, log)
    log.after_step = assembly.network.get_weights
    expected = assembly.network.get_weights()
    trained = training.run()
    *after, _ = log.seen
    assert len(after) == 3
    for step, weights in enumerate(after):
        kept = ema_decay(step, 0.15)
        expected = [kept * mean + (1 - kept) * weight for mean, weight in zip(expected, weights, strict=True)]
    for mean, found in zip(expected, trained.network.get_weights(), strict=True):
        np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_weights_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    figures = iter([0.5, 0.9, 0.9, 0.1])
    measured = lambda *_: {"map_at_r": next(figures), "hit_rate_at_1": 0.0, "map": 0.0}  # noqa: E731
    monkeypatch.setattr("lookalike.model.training.loop.leave_one_out", measured)
    log = Log()
    assembly, training = make(tmp_path, {"epochs": 4}, log)
    log.after_epoch = lambda: [weight.tobytes() for weight in assembly.average.get_weights()]
    trained = training.run()
    epochs = [weights for weights in log.seen if weights]
    assert trained.best_epoch == 2
    assert weights_of(trained) == epochs[1] != epochs[3]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cosine", "constant"])
def test_the_learning_rate_follows_the_schedule(tmp_path, kind):
    from lookalike.model.training.schedule import learning_rate

    keys = {"optimizer": {"learning_rate": 0.01, "warmup_epochs": 1, "schedule": kind}}
    history = make(tmp_path, keys)[1].run().history
    last = [learning_rate(step, 6, 3, decay=kind == "cosine") for step in (2, 5)]
    assert [row["learning_rate"] for row in history] == pytest.approx([0.01 * share for share in last])


def test_parts_learn_the_more_slowly_the_further_they_are_from_the_head(tmp_path):
    assembly, training = make(tmp_path, {"optimizer": {"part_rate": 0.5}})
    training._unfreeze(3)
    optimizer = training._optimizer
    shares = [
        {optimizer._shares[optimizer._get_variable_index(variable)] for variable in variables}
        for variables in (
            assembly.head.trainable_variables,
            *(part.variables for part in reversed(assembly.parts)),
        )
    ]
    assert shares == [{1.0}, {1.0}, {0.5}, {0.25}]


@pytest.mark.slow
def test_gradients_longer_than_the_clip_norm_are_cut(tmp_path):
    # Adam makes up for the length of gradients, but not below its epsilon of 1e-7.
    def moved(clip):
        keys = {"epochs": 1, "optimizer": {"learning_rate": 0.01, "weight_decay": 0, "clip_norm": clip}}
        assembly, training = make(tmp_path, keys)
        before = assembly.network.get_layer("embedding").kernel.numpy()
        training.run()
        (tmp_path / "checkpoint").unlink()
        return np.abs(assembly.network.get_layer("embedding").kernel.numpy() - before).max()

    assert moved(None) > 1e-3
    assert moved(1e-12) < 1e-6


@pytest.mark.slow
def test_augmentation_changes_what_the_network_sees(tmp_path):
    losses = []
    for brightness in (0, 0.5):
        keys = {
            "epochs": 1,
            "augmentation": RECIPE["augmentation"] | {"contrast": 0, "brightness": brightness},
        }
        losses.append(make(tmp_path, keys)[1].run().history[0]["loss"])
        (tmp_path / "checkpoint").unlink()
    assert losses[0] != losses[1]


def test_imbalance_reaches_the_order_the_weights_and_the_loss(tmp_path):
    from lookalike.model.training.sampling import class_prior, effective_number_weights

    images = Blobs([0] * 12 + [1] * 8 + [2] * 4)
    keys = {"imbalance": {"sampling": "class_balanced"}, "batch_size": 12}
    assert np.bincount(
        images.labels[make(tmp_path, keys, images=images)[1]._order(0)].reshape(-1)
    ).tolist() == [
        8,
        8,
        8,
    ]
    counts = np.array([12, 8, 4])
    _, training = make(tmp_path, {"imbalance": {"class_weights": True}}, images=images)
    np.testing.assert_allclose(training._weights, effective_number_weights(counts), rtol=1e-6)
    assembly, _ = make(tmp_path, {"imbalance": {"logit_adjustment": 0.5}}, images=images)
    np.testing.assert_allclose(assembly.loss.options["log_prior"], np.log(class_prior(counts)))
    assert assembly.loss.options["tau"] == 0.5


@pytest.mark.slow
def test_class_weights_weigh_the_loss(tmp_path):
    images = Blobs([0] * 6 + [1] * 2)
    losses = []
    for weigh in (False, True):
        keys = {"epochs": 1, "imbalance": {"class_weights": weigh}}
        losses.append(make(tmp_path, keys, images=images)[1].run().history[0]["loss"])
        (tmp_path / "checkpoint").unlink()
    assert losses[0] != pytest.approx(losses[1])
