"""How a training is shown: events, a bar or lines, none of which may stop it."""

from __future__ import annotations

import logging


def test_events_that_cannot_be_written_cost_no_training(tmp_path, caplog):
    from lookalike.model.training.loop import Step
    from lookalike.train.progress import Shown

    (tmp_path / "file").write_bytes(b"")
    with Shown(str(tmp_path / "file" / "events")) as shown:
        shown.begin(0, 2)
        shown.step(Step(1, 1, 1, 2, 1, 0.5, 8))
    assert "no more events for TensorBoard" in caplog.text


def test_without_a_terminal_a_log_line_tells_the_time_left(tmp_path, caplog, monkeypatch):
    from lookalike.model.training.loop import Step
    from lookalike.train.progress import Shown

    caplog.set_level(logging.INFO, "lookalike")
    times = iter([0.0, 100.0, 110.0])
    with Shown(str(tmp_path)) as shown:
        monkeypatch.setattr("lookalike.train.progress.time.monotonic", lambda: next(times))
        shown.begin(0, 6)
        for done in (1, 2):
            shown.step(Step(1, 2, done, 3, done, 0.5, 8))
        monkeypatch.undo()
    # The first step is compiling: 8 images in the 10 s after it, and 4 steps are left.
    assert "step 2 of 3, loss 0.500, 0.8 images/s, about 40 s left" in caplog.text
