"""How long a run still takes, told once enough of it is done to know."""

from __future__ import annotations

ENOUGH_SECONDS = 5.0
ENOUGH_DONE = 0.03
LONG_SECONDS = 60.0


class TimeLeft:
    """Of a run of some work.

    The rate is that since work was first seen: the start, when networks are loaded, is no part of it. Nothing is told
    before work was seen for `ENOUGH_SECONDS`, and either `ENOUGH_DONE` of all is done or `LONG_SECONDS` have gone by;
    the first second of a run of two minutes would tell hours.

    Args:
        total: work in all, in any unit.
    """

    def __init__(self, total: float) -> None:
        self._total = total
        self._first: tuple[float, float] | None = None

    def seconds(self, now: float, done: float) -> float | None:
        """What is left at this rate; None while that is not known.

        Args:
            now: in seconds, from any start.
            done: work so far.
        """
        if self._first is None and done:
            self._first = now, done
        if self._first is None or not self._total:
            return None
        elapsed, new = now - self._first[0], done - self._first[1]
        enough = done >= ENOUGH_DONE * self._total or elapsed >= LONG_SECONDS
        if new <= 0 or elapsed < ENOUGH_SECONDS or not enough:
            return None
        return elapsed * max(0.0, self._total - done) / new

    def behind(self, state: str, now: float, done: float) -> str:
        """`state`, and behind it what is left, if that is known."""
        seconds = self.seconds(now, done)
        return state if seconds is None else f"{state}, {about(seconds)} left"


def about(seconds: float) -> str:
    """A time in words, as exact as an estimate is.

    >>> about(4), about(47), about(130), about(4000), about(12345), about(90061)
    ('a few seconds', 'about 45 s', 'about 2 min', 'about 1 h 10 min', 'about 3 h 30 min', 'about 25 h')
    """
    if seconds < 10:
        return "a few seconds"
    if seconds < 57.5:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 59.5 * 60:
        return f"about {max(1, round(seconds / 60))} min"
    hours, tens = divmod(round(seconds / 600), 6)
    return f"about {hours} h {tens}0 min" if tens and hours < 10 else f"about {round(seconds / 3600)} h"
