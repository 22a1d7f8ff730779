"""Schedules: numbers a reader can check, and pure functions of the step."""

import itertools

import pytest

from lookalike.model.training.schedule import ema_decay, learning_rate, unfrozen


def test_the_rate_rises_in_equal_steps_and_then_falls_as_half_a_cosine():
    rates = [learning_rate(step, steps=104, warmup=4) for step in range(104)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[54] == pytest.approx(0.5)
    assert rates[29] == pytest.approx(0.853553, abs=1e-6)  # (1 + cos(45 degrees)) / 2
    assert 0 < rates[-1] < 0.001
    assert all(before > after for before, after in itertools.pairwise(rates[4:]))


def test_without_warm_up_training_begins_at_the_full_rate():
    assert learning_rate(0, steps=10, warmup=0) == 1.0


def test_without_decay_the_rate_stays_where_it_rose_to():
    rates = [learning_rate(step, steps=6, warmup=2, decay=False) for step in range(6)]
    assert rates == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_a_new_optimizer_rises_to_what_the_cosine_says_by_then():
    assert learning_rate(50, steps=100, warmup=4, since=50) == pytest.approx(
        learning_rate(50, steps=100, warmup=4) / 4
    )
    assert learning_rate(53, steps=100, warmup=4, since=50) == learning_rate(53, steps=100, warmup=4)


def test_the_average_begins_with_the_weights_themselves_and_comes_to_its_decay():
    assert ema_decay(0, 0.99) == 0.1
    assert ema_decay(90, 0.99) == pytest.approx(0.91)
    assert ema_decay(10_000, 0.99) == 0.99
    assert ema_decay(10_000, 0) == 0


def test_parts_are_unfrozen_from_the_head_until_all_are():
    assert [unfrozen(3, epoch, every=2) for epoch in range(6)] == [1, 1, 2, 2, 3, 3]
    assert unfrozen(1, 5, every=1) == 1
