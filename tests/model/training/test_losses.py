"""Losses: the same numbers as plain loops over the papers' formulas, and one contract that every loss keeps."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from lookalike.model.errors import LookalikeError
from lookalike.model.networks.heads import CosineHead, UnitLength
from lookalike.model.training.loss_functions import simplex_scale
from lookalike.model.training.losses import LOSSES, build_loss
from lookalike.model.training.sampling import class_prior

BATCH, CLASSES, DIM = 12, 5, 8
RNG = np.random.default_rng(0)
# Class 4 has no image in the batch, class 3 only one.
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3])
SOFT = RNG.dirichlet(np.ones(CLASSES), BATCH)
PRIOR = np.log(class_prior(np.array([50, 30, 15, 4, 1])))
# Features near one another within a class.
IMAGES = np.eye(CLASSES, DIM)[LABELS] + 0.3 * RNG.normal(size=(BATCH, DIM))
SOFT_LABELS = {"cross_entropy", "focal", "norm_softmax"}


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


PREDICTIONS = {
    "dense": 3 * RNG.normal(size=(BATCH, CLASSES)),
    "cosine": RNG.uniform(-1, 1, size=(BATCH, CLASSES)),
    None: unit(RNG.normal(size=(BATCH, DIM)) + 0.5),
}


def losses_of(name: str, labels: np.ndarray, predictions: np.ndarray, **options) -> np.ndarray:
    return build_loss(name, reduction="none", **options)(labels, predictions.astype(np.float32)).numpy()


# Plain loops, written from the papers.


def softmax(logits):
    powers = [math.exp(x - max(logits)) for x in logits]
    return [x / sum(powers) for x in powers]


def by_cross_entropy(label, logits, smoothing=0.0):
    total = 0.0
    for c, p in enumerate(softmax(logits)):
        target = label[c] if np.ndim(label) else float(c == label)
        total -= ((1 - smoothing) * target + smoothing / len(logits)) * math.log(p)
    return total


def by_focal(label, logits, gamma=2.0):
    p = softmax(logits)[label]
    return -((1 - p) ** gamma) * math.log(p)


def with_margin(label, cosines, scale, shifted):
    return by_cross_entropy(label, [scale * (shifted(x) if c == label else x) for c, x in enumerate(cosines)])


def by_cosface(label, cosines, scale=64.0, margin=0.35):
    return with_margin(label, cosines, scale, lambda x: x - margin)


def by_arcface(label, cosines, scale=64.0, margin=0.5, easy_margin=False):
    def shifted(cosine):
        angle = math.acos(cosine)
        if easy_margin:
            return math.cos(angle + margin) if angle < math.pi / 2 else cosine
        if angle + margin < math.pi:
            return math.cos(angle + margin)
        return cosine - margin * math.sin(math.pi - margin)

    return with_margin(label, cosines, scale, shifted)


def by_proxy_anchor(labels, cosines, scale=32.0, margin=0.1):
    pull, push, here = 0.0, 0.0, set(labels.tolist())
    for c in range(cosines.shape[1]):
        own = [math.exp(-scale * (s - margin)) for s, y in zip(cosines[:, c], labels, strict=True) if y == c]
        others = [
            math.exp(scale * (s + margin)) for s, y in zip(cosines[:, c], labels, strict=True) if y != c
        ]
        pull += math.log(1 + sum(own)) if c in here else 0
        push += math.log(1 + sum(others))
    return [pull / len(here) + push / cosines.shape[1]] * len(labels)


def pairs(anchor, labels, embeddings):
    """Cosines of the anchor with its positives and with its negatives."""
    cosines = {i: float(embeddings[anchor] @ x) for i, x in enumerate(embeddings) if i != anchor}
    positives = [s for i, s in cosines.items() if labels[i] == labels[anchor]]
    return positives, [s for i, s in cosines.items() if labels[i] != labels[anchor]]


def by_circle(labels, embeddings, gamma=80.0, margin=0.4):
    found = []
    for anchor in range(len(labels)):
        positives, negatives = pairs(anchor, labels, embeddings)
        pull = sum(math.exp(-gamma * max(0, 1 + margin - s) * (s - (1 - margin))) for s in positives)
        push = sum(math.exp(gamma * max(0, s + margin) * (s - margin)) for s in negatives)
        found.append(math.log(1 + push * pull))
    return found


def by_supervised_contrastive(labels, embeddings, temperature=0.1):
    found = []
    for anchor in range(len(labels)):
        positives, negatives = pairs(anchor, labels, embeddings)
        everyone = sum(math.exp(s / temperature) for s in positives + negatives)
        terms = [-math.log(math.exp(s / temperature) / everyone) for s in positives]
        found.append(sum(terms) / len(terms) if terms else 0)
    return found


def by_batch_hard_triplet(labels, embeddings, margin=None):
    found = []
    for anchor in range(len(labels)):
        positives, negatives = (
            [math.sqrt(2 - 2 * s) for s in of] for of in pairs(anchor, labels, embeddings)
        )
        if not positives or not negatives:
            found.append(0.0)
            continue
        excess = max(positives) - min(negatives)
        found.append(math.log(1 + math.exp(excess)) if margin is None else max(0, margin + excess))
    return found


def row_by_row(function, scaled=1.0):
    return lambda labels, rows, **options: [
        function(label, scaled * row, **options) for label, row in zip(labels, rows, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("cross_entropy", {}, row_by_row(by_cross_entropy)),
        ("cross_entropy", {"label_smoothing": 0.2}, row_by_row(lambda y, x: by_cross_entropy(y, x, 0.2))),
        ("focal", {}, row_by_row(by_focal)),
        ("focal", {"gamma": 0.5}, row_by_row(lambda y, x: by_focal(y, x, 0.5))),
        ("focal", {"gamma": 0.0}, row_by_row(by_cross_entropy)),
        ("norm_softmax", {"scale": 16}, row_by_row(lambda y, x: by_cross_entropy(y, x, 0.1), 16)),
        (
            "norm_softmax",
            {},
            lambda labels, rows: [
                by_cross_entropy(y, simplex_scale(len(x)) * x, 0.1) for y, x in zip(labels, rows, strict=True)
            ],
        ),
        ("norm_softmax", {"scale": 20.0, "label_smoothing": 0.0}, row_by_row(by_cross_entropy, 20)),
        ("cosface", {}, row_by_row(by_cosface)),
        ("cosface", {"scale": 30.0, "margin": 0.2}, row_by_row(lambda y, x: by_cosface(y, x, 30, 0.2))),
        ("arcface", {}, row_by_row(by_arcface)),
        ("arcface", {"scale": 8.0, "margin": 1.0}, row_by_row(lambda y, x: by_arcface(y, x, 8, 1))),
        ("arcface", {"easy_margin": True}, row_by_row(lambda y, x: by_arcface(y, x, easy_margin=True))),
        ("proxy_anchor", {}, by_proxy_anchor),
        ("proxy_anchor", {"scale": 8, "margin": 0.3}, lambda y, x: by_proxy_anchor(y, x, 8, 0.3)),
        ("circle", {}, by_circle),
        ("circle", {"gamma": 32, "margin": 0.25}, lambda y, x: by_circle(y, x, 32, 0.25)),
        ("supervised_contrastive", {}, by_supervised_contrastive),
        ("supervised_contrastive", {"temperature": 0.5}, lambda y, x: by_supervised_contrastive(y, x, 0.5)),
        ("batch_hard_triplet", {}, by_batch_hard_triplet),
        ("batch_hard_triplet", {"margin": 0.2}, lambda y, x: by_batch_hard_triplet(y, x, 0.2)),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_numbers_are_those_of_plain_loops(name, options, expected):
    predictions = PREDICTIONS[LOSSES[name].head]
    found = losses_of(name, LABELS, predictions, **options)
    assert (found.shape, found.dtype) == ((BATCH,), np.float32)
    np.testing.assert_allclose(found, expected(LABELS, predictions), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("easy_margin", [False, True])
def test_arcface_follows_the_angle_all_the_way_and_never_falls_with_it(easy_margin):
    angles = np.linspace(0.01, math.pi - 0.01, 60)
    cosines = np.stack([np.cos(angles), np.zeros(60)], axis=1)
    found = losses_of("arcface", np.zeros(60), cosines, scale=4.0, easy_margin=easy_margin)
    expected = [by_arcface(0, row, scale=4.0, easy_margin=easy_margin) for row in cosines]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (np.diff(found) > 0).all() or easy_margin


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


# The contract.

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


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_the_simplex_scale_is_the_one_at_which_a_regular_simplex_has_no_gradient(classes, smoothing):
    cosines = np.full(classes, -1 / (classes - 1))
    cosines[0] = 1
    powers = np.exp(simplex_scale(classes, smoothing) * cosines)
    expected = np.full(classes, smoothing / classes)
    expected[0] += 1 - smoothing
    np.testing.assert_allclose(powers / powers.sum(), expected, atol=1e-12)


def test_options_that_are_not_given_have_the_defaults_of_the_function():
    assert build_loss("norm_softmax").options == {
        "scale": None,
        "label_smoothing": 0.1,
        "log_prior": None,
        "tau": 1.0,
    }


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
