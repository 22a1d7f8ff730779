"""Windows: DICOM's formula by hand, bounds, order, and what no window can be laid on."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.model.images import levels as levels_module
from lookalike.model.images.levels import PercentileWindow, Window, from_16_bit, ramp, stretched

SAMPLES = arrays.arrays(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32]), st.integers(1, 40)
)
WINDOWS = st.builds(Window, st.floats(-70_000, 70_000), st.floats(1, 70_000)) | st.builds(
    PercentileWindow, st.floats(0, 49), st.floats(51, 100)
)


@pytest.mark.parametrize(
    ("center", "width", "samples", "levels"),
    [
        # DICOM PS3.3 C.11.2.1.2.1 gives these two: -1000 and less is black, more than 1000 white, and 0 and less
        # is black, more than 99 white.
        (0.5, 2001, [-1001, -1000, 0, 1000, 1001], [0, 0, 128, 255, 255]),
        (50, 100, [-1, 0, 33, 66, 99, 100], [0, 0, 85, 170, 255, 255]),
        # 40 and 400: from -160 to 239.
        (40, 400, [-1024, -160, -159, -27, 106, 239, 240, 3071], [0, 0, 1, 85, 170, 255, 255, 255]),
        # Width 1: a threshold.
        (10, 1, [9, 10], [0, 255]),
        # All of 8 bits: nothing changes.
        (128, 256, [0, 1, 127, 128, 254, 255], [0, 1, 127, 128, 254, 255]),
    ],
)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.dtype(">i2")])
def test_a_window_has_the_levels_worked_out_by_hand(center, width, samples, levels, dtype):
    result = Window(center, width).apply(np.array(samples, dtype))
    assert result.dtype == np.uint8
    assert result.tolist() == levels


def test_a_percentile_window_leaves_out_the_ends():
    samples = np.array([[0, *range(100, 199), 60_000]], np.uint16)
    levels = PercentileWindow(1, 99).apply(samples)[0]
    assert (levels[0], levels[1], levels[99], levels[100]) == (0, 0, 255, 255)
    assert (np.diff(levels[1:100].astype(int)) > 0).all()


def test_a_percentile_window_is_that_of_one_channel_where_three_are_equal():
    grey = np.random.default_rng(0).integers(0, 65536, (7, 9)).astype(np.uint16)
    window = PercentileWindow(3, 91)
    assert np.array_equal(window.apply(np.stack([grey] * 3, axis=-1))[..., 1], window.apply(grey))


def test_not_a_number_is_black_and_infinity_an_end():
    samples = np.array([np.nan, -np.inf, np.inf, 0, 1, 2], np.float32)
    assert Window(1.5, 3).apply(samples).tolist() == [0, 0, 255, 0, 128, 255]
    assert PercentileWindow(0, 100).apply(samples).tolist() == [0, 0, 255, 0, 128, 255]
    assert PercentileWindow(0, 100).apply(np.full((2, 2), np.nan)).tolist() == [[0, 0], [0, 0]]


def test_a_flat_picture_is_black_in_a_percentile_window():
    assert PercentileWindow(1, 99).apply(np.full((3, 3), 700, np.int16)).max() == 0


@given(SAMPLES, WINDOWS)
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_more_is_never_darker(samples, window):
    levels = window.apply(samples)
    assert (levels.dtype, levels.shape) == (np.uint8, samples.shape)
    known = ~np.isnan(samples)
    order = np.argsort(samples[known], kind="stable")
    assert (np.diff(levels[known][order].astype(int)) >= 0).all()
    assert (levels[~known] == 0).all()


@given(arrays.arrays(st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]), st.integers(1, 40)), WINDOWS)
@settings(deadline=None)
def test_a_table_of_all_values_gives_what_arithmetic_gives(samples, window):
    assert np.array_equal(window.apply(samples), window.apply(samples.astype(np.float64)))


@given(st.floats(-40_000, 40_000), st.floats(1, 40_000))
@settings(deadline=None)
def test_all_that_is_outside_is_an_end(center, width):
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    assert Window(center, width).apply(np.array([low - 1, low, high + 1e-3])).tolist() == [0, 0, 255]


def test_the_ends_of_a_ramp():
    assert ramp(np.array([1.0, 2.0, 3.0]), 1, 3).tolist() == [0, 128, 255]


def test_16_bits_are_rounded_to_the_nearest_of_256_levels():
    samples = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(from_16_bit(samples), np.rint(samples / 257))


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]),
        st.tuples(st.integers(1, 5), st.integers(1, 9)),
    ),
    st.floats(0, 100),
)
@settings(deadline=None)
def test_percentiles_that_are_counted_are_those_of_numpy(samples, percent):
    expected = np.percentile(samples, percent, method="inverted_cdf")
    assert levels_module._percentiles(samples, (percent,)) == [expected]


def test_not_a_number_is_no_level_where_levels_are_stretched():
    samples = np.array([[np.nan, 1000, 1200], [np.inf, -np.inf, 1110]], np.float32)
    assert stretched(samples).tolist() == [[0, 16, 255], [255, 16, 147]]
    assert stretched(np.full((2, 2), np.nan)).max() == 0
    assert stretched(np.full((2, 2), 7)).max() == 0


@pytest.mark.parametrize("shape", [(1, 3001), (3001, 1), (40, 50), (7, 11, 3)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.float32])
def test_a_few_rows_at_a_time_give_what_all_give_at_once(monkeypatch, shape, dtype):
    samples = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    functions = [stretched, Window(10, 90).apply, PercentileWindow(2, 97).apply]
    functions += [from_16_bit] if dtype == np.uint16 else []
    for function in functions:
        for view in (samples, samples[::-1, ::2], np.moveaxis(samples, 0, -1)):
            monkeypatch.setattr(levels_module, "_BAND", 1 << 30)
            whole = function(view)
            monkeypatch.setattr(levels_module, "_BAND", 100)
            assert np.array_equal(function(view), whole)


def test_stretching_needs_no_more_than_its_result():
    samples = np.zeros((2000, 2000), np.uint32)
    tracemalloc.start()
    try:
        stretched(samples)
        assert tracemalloc.get_traced_memory()[1] < samples.size + (16 << 20)
    finally:
        tracemalloc.stop()
