"""Work in a thread: what it raises comes back, and a look may give it up."""

import threading

import pytest

from lookalike.runner.watched import watched


def test_work_that_ends_is_looked_at_no_more():
    done = []
    watched(lambda: done.append(1), lambda: pytest.fail("it has ended"), 60)
    assert done == [1]


def test_what_work_raises_is_raised():
    def work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(work, lambda: None, 0.01)


def test_a_look_that_raises_gives_the_work_up():
    never, looks = threading.Event(), []

    def look():
        looks.append(1)
        if len(looks) == 3:
            raise ValueError("it cannot end")

    with pytest.raises(ValueError, match="it cannot end"):
        watched(never.wait, look, 0.01)
    never.set()
