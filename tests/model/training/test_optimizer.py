"""AdamW by part: against NumPy, step by step."""

import numpy as np

from lookalike.model.training.optimizer import PartAdamW


def adamw(weight, gradients, rate, decay):
    """Loshchilov and Hutter, algorithm 2, with Keras's epsilon beside the corrected root."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, 1):
        weight = weight - rate * decay * weight
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        weight = weight - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return weight


def test_each_variable_learns_at_its_rate_and_only_kernels_decay():
    import keras

    rng = np.random.default_rng(0)
    before = {"slow": rng.normal(size=(3, 2)), "fast": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    variables = {name: keras.Variable(value.astype(np.float32)) for name, value in before.items()}
    shares = {"slow": 0.1, "fast": 1.0, "bias": 1.0}
    optimizer = PartAdamW([(variables[name], shares[name]) for name in shares], decay=0.5)
    gradients = {
        name: rng.normal(size=(4, *value.shape)).astype(np.float32) for name, value in before.items()
    }
    for step in range(4):
        optimizer.learning_rate = 0.01
        optimizer.apply([keras.ops.convert_to_tensor(gradients[name][step]) for name in shares])
    for name, share in shares.items():
        expected = adamw(before[name], gradients[name], 0.01 * share, 0 if name == "bias" else 0.5)
        np.testing.assert_allclose(variables[name].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_gradients_that_are_longer_together_than_the_clip_norm_are_scaled_down():
    import keras

    def moments(clip_norm, *gradients):
        variables = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(2, np.float32))]
        optimizer = PartAdamW([(variable, 1.0) for variable in variables], 0.0, clip_norm)
        optimizer.apply([keras.ops.convert_to_tensor(np.float32(gradient)) for gradient in gradients])
        return [10 * moment.numpy() for moment in optimizer._momentums]  # a tenth of the gradient

    for clip_norm, share in ((6.5, 0.5), (13, 1), (20, 1), (None, 1)):  # (3, 4, 12) has length 13
        found = moments(clip_norm, [3, 4], [0, 12])
        np.testing.assert_allclose(found, [[3 * share, 4 * share], [0, 12 * share]], rtol=1e-6)
