"""What changes as training goes on, as pure functions of the step or epoch: a resumed run needs no memory of them."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, warmup: int, since: int = 0, decay: bool = True) -> float:
    """The share of the full learning rate at a step: a linear rise, then half a cosine to nearly 0.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5,
    with one period; the rise is that of Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2.

    Args:
        step: from 0.
        steps: of the whole training.
        warmup: steps of the rise; the first of them has 1 / warmup of what the cosine says, the last all of it.
        since: the step at which the present optimizer began, which rises again: its moments are new.
        decay: without it the rate stays where it rose to.

    >>> [round(learning_rate(step, steps=8, warmup=2), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
    """
    # Ours: Keras's CosineDecay rises once only, where each unfreezing needs a rise, and has rate 0 in its first step.
    rise = min(1.0, (step - since + 1) / warmup) if warmup else 1.0
    if not decay:
        return rise
    done = max(0, step - warmup) / max(1, steps - warmup)
    return rise * (1 + math.cos(math.pi * done)) / 2


def ema_decay(step: int, decay: float) -> float:
    """The decay of the exponential moving average of weights at a step, from 0: less than `decay` at first, or the
    average would stay what it was before training for long.

    Source: `tf.train.ExponentialMovingAverage` with `num_updates`, min(decay, (1 + n) / (10 + n)).

    >>> ema_decay(0, 0.99), ema_decay(1000, 0.99), ema_decay(5, 0)
    (0.1, 0.99, 0)
    """
    return min(decay, (1 + step) / (10 + step))


def unfrozen(parts: int, epoch: int, every: int) -> int:
    """How many parts, counted from the head, are trained in an epoch (from 0): one more every so many epochs.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018, section 3.3,
    gradual unfreezing.

    >>> [unfrozen(3, epoch, every=2) for epoch in range(7)]
    [1, 1, 2, 2, 3, 3, 3]
    """
    return min(parts, 1 + epoch // every)
