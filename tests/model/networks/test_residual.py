"""The small residual network: its map, and blocks that begin as the identity."""

from __future__ import annotations

import keras
import numpy as np

from lookalike.model.networks import backbone, residual
from tests.support.networks import inputs


def test_a_block_of_the_residual_network_begins_as_the_identity():
    network = backbone("residual", size=64).network
    around = [network.get_layer(f"stage2_block2{end}").output for end in ("_1_conv", "_relu")]
    before = network.get_layer("stage2_block1_relu").output
    inside = keras.Model(network.input, [before, around[1]])
    before, after = inside(inputs(network))
    np.testing.assert_array_equal(before, after)


def test_the_map_is_a_thirty_second_of_the_picture():
    assert residual.build(96).output_shape == (None, 3, 3, 384)
    assert residual.spec(96) == "decode|resize(96,96)|normalize(127.5,127.5)"
