"""The time a run still needs: told late rather than wrong, and no more exactly than it is known."""

from __future__ import annotations

import pytest

from lookalike.runner.time_left import ENOUGH_SECONDS, LONG_SECONDS, TimeLeft, about


def told(total: float, *seen: tuple[float, float]) -> list[float | None]:
    """What is told at each (time, work done)."""
    left = TimeLeft(total)
    return [left.seconds(now, done) for now, done in seen]


def test_a_run_of_two_minutes_never_tells_hours():
    """Ten seconds of loading, then 1 % a second: what is told is at most what is left."""
    seen = [(0.5 * step, max(0.0, 0.5 * step - 10)) for step in range(1, 221)]
    for (now, _), seconds in zip(seen, told(100, *seen), strict=True):
        if now < 10.5 + ENOUGH_SECONDS:
            assert seconds is None
        else:
            assert seconds == pytest.approx(110 - now, abs=1)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(0, 0), (30, 0)], None),  # nothing is done
        ([(0, 1), (4, 50)], None),  # too soon
        ([(0, 0.5), (20, 2)], None),  # too little
        ([(0, 0.5), (LONG_SECONDS, 1.5)], 98.5 * LONG_SECONDS),  # slow, and long enough to know
        ([(0, 20), (10, 20)], None),  # it stands still
        ([(0, 0), (100, 50), (110, 60)], 40),  # loading is not counted
        ([(0, 50), (10, 120)], 0),  # more than was reckoned with
    ],
)
def test_it_is_told_once_enough_is_done(seen, expected):
    assert told(100, *seen)[-1] == expected


def test_a_run_of_no_known_work_tells_nothing():
    assert told(0, (0, 1), (100, 2))[-1] is None


def test_what_is_left_stands_behind_the_state():
    left = TimeLeft(100)
    assert left.behind("1 of 4 shards", 0, 10) == "1 of 4 shards"
    assert left.behind("2 of 4 shards", 60, 55) == "2 of 4 shards, about 1 min left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a few seconds"),
        (57, "about 55 s"),
        (58, "about 1 min"),
        (59.5 * 60, "about 1 h"),
        (9.99 * 3600, "about 10 h"),
        (10.4 * 3600, "about 10 h"),
    ],
)
def test_it_is_told_in_words(seconds, text):
    assert about(seconds) == text
