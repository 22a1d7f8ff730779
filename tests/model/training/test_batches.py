"""Batches: in order, with the pixels of their images, and no more of them read than are needed."""

import threading

import keras
import numpy as np
import pytest

from lookalike.model.images.preprocess import parse_spec
from lookalike.model.training.batches import Features, ahead, features_of, normalisation


class Numbered:
    """Images of one pixel each that are their own number; remembers which were asked for."""

    def __init__(self, count):
        self.ids = [str(number) for number in range(count)]
        self.labels = np.zeros(count, np.int64)
        self.asked = []
        self.threads = set()

    def pixels(self, indices):
        self.asked.append(list(indices))
        self.threads.add(threading.get_ident())
        return np.repeat(np.asarray(indices, np.uint8), 3).reshape(-1, 1, 1, 3)


class Broken(Numbered):
    def pixels(self, indices):
        raise OSError("the disk is gone")


BATCHES = [np.array(batch) for batch in ([3, 1], [0, 2], [5, 4], [6, 7], [9, 8])]


def test_batches_come_in_order_each_with_its_own_pixels():
    found = list(ahead(Numbered(10), BATCHES))
    assert [indices.tolist() for indices, _ in found] == [batch.tolist() for batch in BATCHES]
    assert all(np.array_equal(pixels[:, 0, 0, 0], indices) for indices, pixels in found)


def test_another_thread_reads_two_batches_ahead_and_no_more():
    images = Numbered(10)
    reading = ahead(images, BATCHES)
    next(reading)
    reading.close()
    assert len(images.asked) <= 3
    assert threading.get_ident() not in images.threads


def test_an_error_of_reading_comes_out_where_the_batch_is_used():
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead(Broken(4), BATCHES[:2]))


def test_pixels_are_normalised_as_the_spec_says_and_features_stay():
    pixels = np.array([[[[0, 127, 255]]]], np.uint8)
    found = normalisation(parse_spec("decode|resize(1,1)|normalize(127,128)"))(pixels)
    np.testing.assert_allclose(found[0, 0, 0], [-127 / 128, 0, 1])
    np.testing.assert_array_equal(normalisation(None)(np.float64([[0.5, 2.0]])), np.float32([[0.5, 2.0]]))


def test_features_are_those_of_every_image_in_order_whatever_the_batch():
    image = keras.Input((1, 1, 3))
    network = keras.Model(image, keras.layers.Flatten()(image * 2.0))
    preprocess = parse_spec("decode|resize(1,1)|normalize(1,1)")
    expected = np.repeat((np.arange(7, dtype=np.float32) - 1) * 2, 3).reshape(7, 3)
    for batch in (3, 7, 32):
        np.testing.assert_array_equal(features_of(network, Numbered(7), preprocess, batch), expected)


def test_features_stand_for_the_images():
    features = Features(["a", "b", "c"], np.array([0, 1, 0]), np.float32([[1, 2], [3, 4], [5, 6]]))
    assert features.pixels(np.array([2, 0])).tolist() == [[5, 6], [1, 2]]
