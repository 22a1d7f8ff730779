"""Shows how a training goes: a bar on a terminal, else log lines; and writes TensorBoard's events."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from lookalike.model import imports
from lookalike.model.training.loop import Step

from ..runner.progress import LOG_SECONDS, bar
from ..runner.time_left import TimeLeft

logger = logging.getLogger(__name__)


class Shown:
    """Context that is told of steps and epochs (`model.training.loop.Listener`).

    Args:
        tensorboard: folder for the events.
    """

    def __init__(self, tensorboard: str) -> None:
        tf = imports.tensorflow()

        self._summary, self._failure = tf.summary, tf.errors.OpError
        self._writer: Any = None
        with self._events():
            self._writer = tf.summary.create_file_writer(tensorboard)
        self._opened = contextlib.ExitStack()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Shown:
        if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
            self._bar = self._opened.enter_context(bar())
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()
        if self._writer:
            with self._events():
                self._writer.close()

    @contextlib.contextmanager
    def _events(self) -> Iterator[None]:
        """A disk that is full costs the events, not the training."""
        try:
            yield
        except self._failure as error:
            self._writer = None
            logger.warning("no more events for TensorBoard: %s", error.message)

    def _scalars(self, step: int, scalars: dict[str, float]) -> None:
        if self._writer:
            with self._events(), self._writer.as_default(step=step):
                for name, value in scalars.items():
                    self._summary.scalar(name, value)

    def begin(self, done: int, steps: int) -> None:
        """See `model.training.loop.Listener`."""
        self._images, self._left = 0, TimeLeft(steps)
        self._started = self._logged = time.monotonic()
        self._compiled = False
        if self._bar:
            self._task = self._bar.add_task("training", total=steps, completed=done, state="")

    def step(self, step: Step) -> None:
        """See `model.training.loop.Listener`."""
        now = time.monotonic()
        if not self._compiled:
            # The first step compiles as well: counted in, it would say that hours are left.
            self._compiled, self._started = True, now
        else:
            self._images += step.images
        elapsed = now - self._started
        state = (
            f"epoch {step.epoch} of {step.epochs}, step {step.step} of {step.steps}, loss {step.loss:.3f}, "
            f"{self._images / max(elapsed, 1e-9):,.1f} images/s"
        )
        state = self._left.behind(state, now, step.done)
        self._scalars(step.done, {"step/loss": step.loss})
        if self._bar:
            self._bar.update(self._task, completed=step.done, state=state)
        elif now - self._logged >= LOG_SECONDS:
            self._logged = now
            logger.info("training: %s", state)

    def epoch(self, row: dict[str, Any]) -> None:
        """See `model.training.loop.Listener`."""
        logger.info(
            "epoch %d: loss %.4f, mAP@R %.4f, hit rate at 1 %.4f, mAP %.4f, %.1f s",
            *(row[name] for name in ("epoch", "loss", "map_at_r", "hit_rate_at_1", "map", "seconds")),
        )
        names = ("loss", "learning_rate", "map_at_r", "hit_rate_at_1", "map")
        self._scalars(row["step"], {f"epoch/{name}": row[name] for name in names})
        if self._writer:
            with self._events():
                self._writer.flush()
