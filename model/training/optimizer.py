"""AdamW with a learning rate for each variable, and without decay of biases and normalisation."""

from __future__ import annotations

from typing import Any

import keras


class PartAdamW(keras.optimizers.Adam):
    """AdamW that trains some variables more slowly than others.

    Keras's own decays all variables at the full learning rate, whatever they learn at. Here a variable's rate
    scales both. Vectors (biases, scales and shifts of normalisation) are not decayed, only kernels are.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2; rates by part
    from Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018, section 3.2.

    Args:
        rates: variables that are trained, each with its share of the learning rate.
        decay: share of a kernel that is taken off a step, times the learning rate.
        clip_norm: longest gradient of all variables together, above 0; a longer one is scaled down to it. None: any.
    """

    def __init__(self, rates: list[tuple[Any, float]], decay: float, clip_norm: float | None = None) -> None:
        super().__init__(learning_rate=0.0, global_clipnorm=clip_norm)
        self.build([variable for variable, _ in rates])
        self._shares = [share for _, share in rates]
        self._decay = decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate = (
            keras.ops.cast(learning_rate, variable.dtype) * self._shares[self._get_variable_index(variable)]
        )
        if self._decay and len(variable.shape) > 1:
            self.assign_sub(variable, variable * (rate * self._decay))
        super().update_step(gradient, variable, rate)
