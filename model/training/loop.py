"""Training: steps, epochs, validation, the choice of the best weights, and going on after a kill.

All that step s of epoch e draws at random depends on the seed, e and s alone: which images, in which order, and what
augmentation does to them. So a run that was killed and goes on from its checkpoint ends with the same weights.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from ..errors import LookalikeError
from ..images.preprocess import Preprocess
from . import sampling, schedule
from .assembly import Assembly
from .augmentation import build_augmentation
from .batches import Images, ahead, normalisation
from .checkpoints import Checkpoint, refuse_other
from .optimizer import PartAdamW
from .parts import frozen_statistics
from .recipe import Recipe
from .validation import leave_one_out, queries_of

logger = logging.getLogger(__name__)
_SHOWN_IDS = 8


@dataclass(frozen=True)
class Step:
    """Where training is.

    Attributes:
        epoch: from 1.
        epochs: in all.
        step: of the epoch, from 1.
        steps: of the epoch.
        done: steps since training began, in this or an earlier run.
        loss: of this step.
        images: in this step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    done: int
    loss: float
    images: int


class Listener(Protocol):
    """Is told how training goes."""

    def begin(self, done: int, steps: int) -> None:
        """Training begins, or goes on after `done` of so many steps in all."""

    def step(self, step: Step) -> None:
        """A step is done."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done, with what is in a row of `Trained.history`."""


class NotFiniteError(LookalikeError):
    """A loss or gradient that is not a number.

    Args:
        message: with the step.
        ids: of the batch.
    """

    def __init__(self, message: str, ids: list[str]) -> None:
        super().__init__(message)
        self.ids = ids


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        network: the `keras.Model` with the averaged weights of the best epoch, normalised pixels (or features) to
            embeddings.
        history: a row for each epoch: `epoch`, `step`, `loss` (mean of its steps), `learning_rate` (of its last),
            `parts` (trained), `map_at_r`, `hit_rate_at_1`, `map` (on the validation images), `seconds`.
        best_epoch: from 1.
    """

    network: Any
    history: list[dict[str, Any]]
    best_epoch: int


class Training:
    """One training, from its beginning or its last checkpoint.

    Args:
        assembly: what is trained.
        recipe: how.
        images: to train on.
        validation: to choose the best epoch by.
        checkpoint: where to save; what is there already is gone on from.
        identity: what the checkpoint must agree with, plain values by name.
        listener: is told of steps and epochs.
        preprocess: of `images`; None if they are features.
        checkpoint_seconds: the longest time without a checkpoint.
    """

    def __init__(
        self,
        assembly: Assembly,
        recipe: Recipe,
        images: Images,
        validation: Images,
        *,
        checkpoint: Checkpoint,
        identity: dict[str, Any],
        listener: Listener,
        preprocess: Preprocess | None = None,
        checkpoint_seconds: float = 300,
    ) -> None:
        self._parts, self._recipe = assembly, recipe
        self._images, self._validation = images, validation
        self._checkpoint, self._identity = checkpoint, identity
        self._listener = listener
        self._checkpoint_seconds = checkpoint_seconds
        self._counts = sampling.class_counts(images.labels)
        self._weights = np.ones(len(self._counts), np.float32)
        if recipe.imbalance.class_weights:
            self._weights = sampling.effective_number_weights(self._counts).astype(np.float32)
        self.steps = len(self._order(0))
        """Steps of an epoch."""
        self._prepare = _preparation(recipe, preprocess, len(self._counts))
        self._normalise = normalisation(preprocess)
        average = frozen_statistics(assembly.average)
        self._embed = tf.function(
            lambda inputs: average(self._normalise(inputs), training=False),
            autograph=False,
            reduce_retracing=True,
        )
        self._epoch = self._step = 0
        self._losses: list[float] = []
        self._seconds = 0.0
        self._history: list[dict[str, Any]] = []
        self._best: list[np.ndarray] = []
        self._optimizer: PartAdamW | None = None

    def run(self) -> Trained:
        """Trains to the end.

        Raises:
            LookalikeError: if the checkpoint is of something else, the loss is not finite, or validation is not
                possible.
        """
        queries_of(self._validation.labels)
        self._resume()
        self._listener.begin(self._epoch * self.steps + self._step, self._recipe.epochs * self.steps)
        saved = time.monotonic()
        while self._epoch < self._recipe.epochs and not self._out_of_patience():
            self._begin_epoch()
            order = self._order(self._epoch)
            started = time.monotonic() - self._seconds
            for indices, pixels in ahead(self._images, order[self._step :]):
                self._train_step(indices, pixels)
                self._seconds = time.monotonic() - started
                if time.monotonic() - saved > self._checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
            self._finish_epoch()
            self._save()
            saved = time.monotonic()
        self._parts.average.set_weights(self._best)
        return Trained(self._parts.average, self._history, self._best_epoch())

    def _order(self, epoch: int) -> np.ndarray:
        """The images of each step of an epoch, (steps, batch). A last batch that is not full is left out."""
        recipe, labels = self._recipe, self._images.labels
        rng = sampling.epoch_rng(recipe.seed, epoch)
        if self._parts.loss.head is None:
            classes = recipe.batch_size // recipe.images_per_class
            return sampling.pk_batches(labels, classes, recipe.images_per_class, rng)
        order = sampling.epoch_order(labels, recipe.imbalance.sampling, rng)
        size = min(recipe.batch_size, len(order))
        return order[: len(order) // size * size].reshape(-1, size)

    def _trained_parts(self, epoch: int) -> int:
        if self._recipe.train != "gradual":
            return len(self._parts.parts)
        return schedule.unfrozen(len(self._parts.parts), epoch, self._recipe.unfreeze_every)

    def _begin_epoch(self) -> None:
        trained = self._trained_parts(self._epoch)
        if self._optimizer is None or (
            self._step == 0 and trained != self._trained_parts(max(0, self._epoch - 1))
        ):
            self._unfreeze(trained)

    def _unfreeze(self, trained: int) -> None:
        """Trains the last so many parts from now on. Their moments begin anew: old ones would be of other steps."""
        rates = [(variable, 1.0) for variable in self._parts.head.trainable_variables]
        for distance, part in enumerate(reversed(self._parts.parts)):
            for layer in part.layers:
                layer.trainable = distance < trained
            share = self._recipe.optimizer.part_rate**distance
            rates += [(variable, share) for variable in part.variables]
        settings = self._recipe.optimizer
        self._optimizer = PartAdamW(rates, settings.weight_decay, settings.clip_norm)
        self._step_function = self._make_step([variable for variable, _ in rates])

    def _make_step(self, variables: list[Any]) -> Any:
        assembly, optimizer = self._parts, self._optimizer
        assert optimizer is not None
        pairs = list(zip(assembly.average.weights, assembly.network.weights, strict=True))

        @tf.function(autograph=False)
        def step(inputs: Any, labels: Any, weights: Any, number: Any, decay: Any) -> tuple[Any, Any]:
            inputs, labels = self._prepare(inputs, labels, number)
            with tf.GradientTape() as tape:
                outputs = assembly.head(assembly.body(inputs, training=True))
                loss = assembly.loss(labels, outputs, sample_weight=weights)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            norm = tf.linalg.global_norm(gradients)
            optimizer.apply(gradients, variables)
            # Ours: Keras's `use_ema` has one decay: 0.79 of the average would be the first of 24 steps, here 2e-7. It
            # begins anew with each optimizer, so at each unfreezing, and leaves out the statistics of normalisation.
            for average, weight in pairs:
                # A count, as Normalization has one, has no average.
                mean = average + (weight - average) * (1 - decay) if weight.dtype == "float32" else weight
                average.assign(mean)
            return loss, norm

        return step

    def _train_step(self, indices: np.ndarray, pixels: np.ndarray) -> None:
        recipe, done = self._recipe, self._epoch * self.steps + self._step
        labels = self._images.labels[indices].astype(np.int32)
        assert self._optimizer is not None
        self._optimizer.learning_rate = recipe.optimizer.learning_rate * self._rate(done)
        loss, norm = self._step_function(
            tf.constant(pixels),
            tf.constant(labels),
            tf.constant(self._weights[labels]),
            tf.constant(done, tf.int64),
            tf.constant(schedule.ema_decay(done, recipe.ema), tf.float32),
        )
        if not np.isfinite(loss) or not np.isfinite(norm):
            raise self._not_finite(indices, float(loss), float(norm))
        self._step += 1
        self._losses.append(float(loss))
        self._listener.step(
            Step(
                self._epoch + 1,
                recipe.epochs,
                self._step,
                self.steps,
                done + 1,
                float(loss),
                len(indices),
            )
        )

    def _rate(self, done: int) -> float:
        recipe = self._recipe
        warmup = round(recipe.optimizer.warmup_epochs * self.steps)
        since = self._epoch
        while since and self._trained_parts(since) == self._trained_parts(since - 1):
            since -= 1
        decay = recipe.optimizer.schedule == "cosine"
        return schedule.learning_rate(done, recipe.epochs * self.steps, warmup, since * self.steps, decay)

    def _not_finite(self, indices: np.ndarray, loss: float, norm: float) -> NotFiniteError:
        ids = [self._images.ids[i] for i in indices]
        shown = ", ".join(ids[:_SHOWN_IDS]) + (", ..." if len(ids) > _SHOWN_IDS else "")
        return NotFiniteError(
            f"Expected a finite loss. Received: loss {loss}, gradient {norm} in epoch {self._epoch + 1}, step "
            f"{self._step + 1} of {self.steps}, whose {len(ids)} images were {shown}. The last checkpoint is "
            "kept; a lower optimizer.learning_rate or optimizer.clip_norm may help, with --fresh",
            ids,
        )

    def _finish_epoch(self) -> None:
        row = {
            "epoch": self._epoch + 1,
            "step": (self._epoch + 1) * self.steps,
            "loss": float(np.mean(self._losses)),
            "learning_rate": float(self._optimizer.learning_rate),  # type: ignore[union-attr]
            "parts": self._trained_parts(self._epoch),
            **leave_one_out(self.embeddings(self._validation), self._validation.labels),
            "seconds": round(self._seconds, 2),
        }
        if not self._history or row["map_at_r"] > max(before["map_at_r"] for before in self._history):
            self._best = self._parts.average.get_weights()
        self._history.append(row)
        self._epoch, self._step, self._losses, self._seconds = self._epoch + 1, 0, [], 0.0
        self._listener.epoch(row)

    def embeddings(self, images: Images) -> np.ndarray:
        """What the averaged weights make of images, in order: float32 (n, dim), of any length."""
        size = self._recipe.batch_size
        batches = [
            np.arange(i, min(i + size, len(images.labels))) for i in range(0, len(images.labels), size)
        ]
        return np.concatenate(
            [self._embed(tf.constant(pixels)).numpy() for _, pixels in ahead(images, batches)]
        )

    def _best_epoch(self) -> int:
        best = max(self._history, key=lambda row: (row["map_at_r"], -row["epoch"]))
        return int(best["epoch"])

    def _out_of_patience(self) -> bool:
        patience = self._recipe.patience
        return bool(patience and self._history and self._epoch - self._best_epoch() >= patience)

    def _groups(self) -> dict[str, list[Any]]:
        assert self._optimizer is not None
        return {
            "network": self._parts.network.variables,
            "average": self._parts.average.variables,
            "head": self._parts.head.variables,
            "optimizer": self._optimizer.variables,
        }

    def _save(self) -> None:
        arrays = {
            f"{group}/{number}": variable.numpy()
            for group, variables in self._groups().items()
            for number, variable in enumerate(variables)
        }
        arrays |= {f"best/{number}": array for number, array in enumerate(self._best)}
        note = {
            "identity": self._identity,
            "epoch": self._epoch,
            "step": self._step,
            "losses": self._losses,
            "seconds": self._seconds,
            "history": self._history,
        }
        self._checkpoint.save(arrays, note)

    def _resume(self) -> None:
        found = self._checkpoint.load()
        if found is None:
            return
        try:
            self._go_on(*found)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise self._checkpoint.damaged(reason) from None

    def _go_on(self, arrays: dict[str, np.ndarray], note: dict[str, Any]) -> None:
        refuse_other(note["identity"], self._identity, str(self._checkpoint.path))
        self._epoch, self._step = note["epoch"], note["step"]
        self._losses, self._seconds, self._history = note["losses"], note["seconds"], note["history"]
        # At the end of an epoch the optimizer is still that of the epoch before.
        self._unfreeze(self._trained_parts(self._epoch if self._step else max(0, self._epoch - 1)))
        for group, variables in self._groups().items():
            for number, variable in enumerate(variables):
                variable.assign(arrays[f"{group}/{number}"])
        self._best = [arrays[f"best/{i}"] for i in range(sum(name.startswith("best/") for name in arrays))]
        if self._epoch < self._recipe.epochs:
            logger.info("going on with epoch %d, step %d of %d", self._epoch + 1, self._step + 1, self.steps)


def _preparation(recipe: Recipe, preprocess: Preprocess | None, classes: int) -> Any:
    """(pixels, labels, step) -> (inputs of the network, labels for the loss)."""
    normalise = normalisation(preprocess)
    if preprocess is None:
        return lambda features, labels, _: (normalise(features), labels)
    augment = build_augmentation(recipe.augmentation, preprocess.height, recipe.seed)

    def prepare(pixels: Any, labels: Any, step: Any) -> tuple[Any, Any]:
        if recipe.augmentation.makes_soft_labels:
            labels = tf.one_hot(labels, classes)
        pixels, labels = augment(pixels, labels, step)
        return normalise(pixels), labels

    return prepare


def seed_everything(seed: int) -> None:
    """Makes this process repeat itself: what Keras and TensorFlow draw, and the order in which they add up."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
