"""The contract that every loss keeps, its options, and what the wrong ones are told."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from lookalike.model.errors import LookalikeError
from lookalike.model.networks.heads import CosineHead, UnitLength
from lookalike.model.training.losses import LOSSES, build_loss
from tests.support.losses import BATCH, CLASSES, DIM, IMAGES, LABELS, PREDICTIONS, PRIOR, SOFT, losses_of

SOFT_LABELS = {"cross_entropy", "focal", "norm_softmax"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cross_entropy", {}),
        ("focal", {}),
        ("norm_softmax", {"scale": 16.0}),
        ("cosface", {}),
        ("arcface", {"margin": 0.0}),
    ],
)
def test_logit_adjustment_adds_the_prior_to_the_scaled_logits(name, options):
    predictions = PREDICTIONS[LOSSES[name].head]
    scale = build_loss(name, **options).options.get("scale", 1.0)
    found = losses_of(name, LABELS, predictions, log_prior=PRIOR, tau=0.5, **options)
    expected = losses_of(name, LABELS, predictions + 0.5 * PRIOR / scale, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_soft_labels_are_weighted_by_their_parts():
    for name in SOFT_LABELS:
        predictions = PREDICTIONS[LOSSES[name].head]
        parts = [losses_of(name, np.full(BATCH, c), predictions) for c in range(CLASSES)]
        expected = (np.stack(parts, axis=1) * SOFT).sum(axis=1)
        np.testing.assert_allclose(losses_of(name, SOFT, predictions), expected, rtol=1e-4)


def test_proxy_anchor_is_the_loss_of_the_batch_in_every_row():
    found = losses_of("proxy_anchor", LABELS, PREDICTIONS["cosine"])
    assert len(set(found.tolist())) == 1
    assert build_loss("proxy_anchor")(LABELS, PREDICTIONS["cosine"]).numpy() == pytest.approx(found[0])


each_loss = pytest.mark.parametrize("name", sorted(LOSSES))


@each_loss
def test_labels_may_stand_in_a_column(name):
    predictions = PREDICTIONS[LOSSES[name].head]
    column = losses_of(name, LABELS[:, None], predictions)
    np.testing.assert_array_equal(column, losses_of(name, LABELS, predictions))


@each_loss
def test_only_some_losses_take_soft_labels_and_the_others_refuse_them(name):
    predictions = PREDICTIONS[LOSSES[name].head]
    assert LOSSES[name].soft_labels == (name in SOFT_LABELS)
    if name not in SOFT_LABELS:
        with pytest.raises(
            LookalikeError, match=rf"labels \(batch,\).* for {name}. Received: labels of shape"
        ):
            losses_of(name, SOFT, predictions)
    with pytest.raises(LookalikeError, match=rf"for {name}"):
        losses_of(name, SOFT[:, :3], predictions)
    with pytest.raises(LookalikeError, match=r"predictions of shape \(12, \d, 1\)"):
        losses_of(name, LABELS, predictions[:, :, None])


@each_loss
def test_a_loss_survives_its_configuration_as_json(name):
    options = {"reduction": "sum"}
    if "log_prior" in build_loss(name).options:
        options["log_prior"] = PRIOR
    loss = build_loss(name, **options)
    predictions = PREDICTIONS[loss.head].astype(np.float32)
    assert loss.get_config()["name"] == name
    for again in (
        type(loss).from_config(loss.get_config()),
        type(loss).from_config(json.loads(json.dumps(loss.get_config()))),
        keras.saving.deserialize_keras_object(
            json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
        ),
    ):
        assert type(again) is type(loss)
        assert again.get_config() == loss.get_config()
        assert again(LABELS, predictions).numpy() == loss(LABELS, predictions).numpy()


def _same(head):
    """Predictions from identical images."""
    return np.repeat(PREDICTIONS[head][:1], BATCH, axis=0)


def _saturated(head):
    """Cosines of exactly 1 and -1; enormous logits."""
    if head is None:
        return np.repeat([[1.0] + [0.0] * (DIM - 1), [-1.0] + [0.0] * (DIM - 1)], BATCH // 2, axis=0)
    signs = np.where(np.arange(BATCH)[:, None] % 2, 1.0, -1.0) * np.where(np.eye(CLASSES)[LABELS], 1, -1)
    return signs * (1e4 if head == "dense" else 1)


@each_loss
@pytest.mark.parametrize(
    "labels", [LABELS, np.zeros(BATCH, int), np.arange(BATCH) % CLASSES], ids=["several", "one", "all"]
)
@pytest.mark.parametrize(
    "predictions", [PREDICTIONS.get, _same, _saturated], ids=["random", "same", "saturated"]
)
def test_loss_and_gradient_are_finite_also_on_degenerate_batches(name, labels, predictions):
    loss = build_loss(name)
    x = tf.Variable(predictions(loss.head).astype(np.float32))
    with tf.GradientTape() as tape:
        value = loss(labels, x)
    assert np.isfinite(value.numpy())
    assert value.numpy() >= 0
    assert np.isfinite(tape.gradient(value, x).numpy()).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_focal_has_a_finite_gradient_where_its_power_has_not(gamma):
    x = tf.Variable(_saturated("dense").astype(np.float32))
    with tf.GradientTape() as tape:
        value = build_loss("focal", gamma=gamma)(LABELS, x)
    assert np.isfinite(tape.gradient(value, x).numpy()).all()


@each_loss
def test_a_batch_of_one_image_has_a_finite_loss_and_gradient(name):
    loss = build_loss(name)
    x = tf.Variable(PREDICTIONS[loss.head][:1].astype(np.float32))
    with tf.GradientTape() as tape:
        value = loss(LABELS[:1], x)
    assert np.isfinite(value.numpy())
    assert np.isfinite(tape.gradient(value, x).numpy()).all()
    if loss.head is None:
        assert value.numpy() == 0


@each_loss
def test_it_is_computed_in_float32_whatever_comes(name):
    predictions = PREDICTIONS[LOSSES[name].head]
    half = build_loss(name)(LABELS, predictions.astype(np.float16))
    assert half.dtype == tf.float32
    assert half.numpy() == pytest.approx(build_loss(name)(LABELS, predictions).numpy(), rel=0.1)


@each_loss
def test_a_small_network_learns_by_it(name):
    keras.utils.set_random_seed(0)
    features = keras.Input((DIM,))
    x = keras.layers.Dense(6)(features)
    head = {
        "dense": keras.layers.Dense(CLASSES),
        "cosine": CosineHead(CLASSES),
        None: UnitLength(),
    }[LOSSES[name].head]
    model = keras.Model(features, head(x))
    model.compile(keras.optimizers.SGD(0.003), loss=build_loss(name), jit_compile=False)
    history = model.fit(IMAGES, LABELS, batch_size=BATCH, epochs=12, verbose=0, sample_weight=np.ones(BATCH))
    losses = history.history["loss"]
    assert losses[-1] < losses[0]


@each_loss
def test_sample_weights_scale_it(name):
    predictions = PREDICTIONS[LOSSES[name].head]
    loss = build_loss(name, reduction="sum")
    weighted = loss(LABELS, predictions, sample_weight=np.full(BATCH, 3.0))
    assert weighted.numpy() == pytest.approx(3 * loss(LABELS, predictions).numpy(), rel=1e-5)


def test_a_network_trained_on_soft_labels_keeps_its_loss_when_saved(tmp_path):
    model = keras.Sequential([keras.Input((DIM,)), CosineHead(CLASSES)])
    model.compile("adam", loss=build_loss("norm_softmax", scale=8.0, log_prior=PRIOR), jit_compile=False)
    assert math.isfinite(model.fit(PREDICTIONS[None], SOFT, verbose=0).history["loss"][0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").loss
    assert loaded.get_config() == model.loss.get_config()


@pytest.mark.parametrize("name", ["softmax", "ArcFace", ""])
def test_an_unknown_loss_is_refused_with_those_there_are(name):
    with pytest.raises(LookalikeError) as error:
        build_loss(name)
    assert str(error.value) == f"Expected a loss of {', '.join(LOSSES)}. Received: loss={name}"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosface", {"gamma": 2}, r"of cosface among scale, margin. Received: gamma=2"),
        ("circle", {"ref_labels": None}, r"among gamma, margin. Received: ref_labels=None"),
        ("arcface", {"margin": -0.1}, r"margin of arcface to be from 0 to 2. Received: margin=-0.1"),
        ("arcface", {"margin": None}, r"Received: margin=None"),
        ("arcface", {"easy_margin": 1}, r"true or false. Received: easy_margin=1"),
        ("norm_softmax", {"scale": 0}, r"scale of norm_softmax"),
        ("norm_softmax", {"scale": "16"}, r"Received: scale='16'"),
        ("norm_softmax", {"scale": True}, r"Received: scale=True"),
        ("norm_softmax", {"scale": math.inf}, r"Received: scale=inf"),
        ("norm_softmax", {"label_smoothing": 1.5}, r"from 0 to 1. Received: label_smoothing=1.5"),
        ("focal", {"gamma": math.nan}, r"Received: gamma=nan"),
        ("supervised_contrastive", {"temperature": 0.0}, r"Received: temperature=0.0"),
        ("batch_hard_triplet", {"margin": 3.0}, r"from 0 to 2 or None. Received: margin=3.0"),
        ("batch_hard_triplet", {"margin": "soft"}, r"Received: margin='soft'"),
        ("cross_entropy", {"log_prior": (0.0, -math.inf)}, r"finite numbers, one for each class, or None"),
        ("cross_entropy", {"log_prior": 0.5}, r"Received: log_prior=0.5"),
        ("cross_entropy", {"log_prior": "ab"}, r"Received: log_prior='ab'"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(name, options, message):
    with pytest.raises(LookalikeError, match=message):
        build_loss(name, **options)


def test_a_prior_for_another_number_of_classes_is_refused():
    with pytest.raises(LookalikeError, match="Received: 2 for 5 classes"):
        losses_of("cross_entropy", LABELS, PREDICTIONS["dense"], log_prior=(-0.5, -1.0))


def test_a_wrong_label_is_told_in_one_sentence_out_of_a_training_too():
    model = keras.Sequential([keras.Input((DIM,)), CosineHead(CLASSES)])
    model.compile("adam", loss=build_loss("arcface"), jit_compile=False)
    with pytest.raises(LookalikeError, match="Expected labels"):
        model.fit(PREDICTIONS[None], SOFT, verbose=0)


def test_options_that_are_not_given_have_the_defaults_of_the_function():
    assert build_loss("norm_softmax").options == {
        "scale": None,
        "label_smoothing": 0.1,
        "log_prior": None,
        "tau": 1.0,
    }
